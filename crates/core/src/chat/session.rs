//! A session: one WebSocket from the upgrade to its last frame, in one task.
//!
//! Frames are handled in the order in which they arrive. A join, a token refresh, a change of a message
//! or a send with references delays the frames behind it. A resume or a page of history doesn't. A send is
//! published before the next frame is read, so sends stay in order.

mod hold;
mod requests;
mod resume;
mod socket;
mod stall;
mod start;

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::clock::{STOOD_STILL, boot_ms};
use super::hub::{HubChannel, Listener, Subscription};
use super::service::Chat;
use crate::accounts::{AccessGuard, Accounts, Identity};
use crate::chat::wire::close::Close;
use crate::domain::{ChannelName, now_ms};

use hold::Hold;
use requests::{Done, Work};
use socket::SocketEvent;

pub use socket::{Ended, Socket, websocket};
pub use start::{Arrival, TokenSource, run, run_on_tcp};

/// How long before its token expires a session gets `token_expiring`.
const EXPIRING: Duration = Duration::from_secs(60);

/// The most pages of history that a session may have requested at once. Further frames wait in the
/// socket. The number of joined channels bounds the resumes.
const PAGES_AT_ONCE: usize = 4;

/// A channel that the session has joined.
struct Joined {
    channel: Arc<HubChannel>,
    subscription: Arc<Subscription>,
    hold: Hold,
}

/// A session of an authenticated user.
struct Session<S> {
    chat: Arc<Chat>,
    accounts: Arc<Accounts>,
    listener: Arc<Listener>,
    socket: Socket<S>,
    identity: Identity,
    /// Closes the session when the login ends.
    access: AccessGuard,
    joined: HashMap<ChannelName, Joined>,
    /// Work that has to finish before the next frame is read.
    first: Option<Work>,
    /// Work that runs concurrently with frames: resumes and pages of history.
    beside: Vec<Work>,
    /// The number of pages in `beside`.
    pages: usize,
    /// Serializes the pages. Each one is read only when the outbox has room for it.
    page_turn: Arc<tokio::sync::Mutex<()>>,
    /// Serializes the reads of the resumes in the same way.
    resume_turn: Arc<tokio::sync::Mutex<()>>,
    clock: Clock,
    /// Since when the session has left the socket unread because of its work, ms since boot.
    unread_since_ms: Option<u64>,
    /// The epoch of the pulse when the session began. A different epoch means that the process was
    /// paused.
    epoch: u64,
}

/// The session's timers: pings and the expiry of its token.
struct Clock {
    timer: Pin<Box<Sleep>>,
    ping: Duration,
    next_ping: Instant,
    last_received: Instant,
    expires: Instant,
    expiry_announced: bool,
}

/// What happens next in a session.
enum Step {
    Frame(Utf8Bytes),
    /// A binary message, which the protocol doesn't have.
    Binary,
    /// A ping or a pong, which shows that the client is alive.
    ClientAlive,
    Done(Box<Done>),
    Timer,
    Close(Close),
    Ended(Ended),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Serves the session until it ends. Returns why it ended.
    async fn serve(&mut self) -> Ended {
        loop {
            match poll_fn(|cx| self.poll_step(cx)).await {
                Step::Frame(text) => {
                    self.clock.last_received = Instant::now();
                    self.receive(&text);
                }
                Step::Binary => {
                    self.clock.last_received = Instant::now();
                    self.refuse_binary();
                }
                Step::ClientAlive => self.clock.last_received = Instant::now(),
                Step::Done(done) => self.finish(*done),
                Step::Timer => self.tick(),
                Step::Close(why) => return Ended::Close(why),
                Step::Ended(ended) => return ended,
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        // First of all: after a pause the frames in the socket may be older than they look.
        if self.chat.pulse.epoch() != self.epoch {
            return Poll::Ready(Step::Close(Close::HeartbeatTimeout));
        }
        if let Poll::Ready(ended) = self.socket.poll_write(cx, &self.listener.outbox) {
            return Poll::Ready(match ended {
                Ended::Close(why) => Step::Close(why),
                other => Step::Ended(other),
            });
        }
        if self.listener.outbox.take_behind() {
            self.catch_up();
        }
        if let Poll::Ready(done) = self.poll_work(cx) {
            return Poll::Ready(Step::Done(Box::new(done)));
        }
        if self.clock.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Step::Timer);
        }
        self.poll_frame(cx)
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        if let Some(work) = &mut self.first
            && let Poll::Ready(done) = work.as_mut().poll(cx)
        {
            self.first = None;
            return Poll::Ready(done);
        }
        for at in 0..self.beside.len() {
            if let Poll::Ready(done) = self.beside[at].as_mut().poll(cx) {
                // `swap_remove` is cheap; the order of this work doesn't matter.
                drop(self.beside.swap_remove(at));
                return Poll::Ready(done);
            }
        }
        Poll::Pending
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        // Frames of a client that doesn't receive the answers would only cause more of them.
        let is_full = self.socket.is_blocked() && self.listener.outbox.is_full();
        if self.first.is_some() || self.pages >= PAGES_AT_ONCE || is_full {
            // Backpressure: TCP slows down the client while its frames stay in the socket.
            self.unread_since_ms.get_or_insert_with(boot_ms);
            return Poll::Pending;
        }
        if let Some(since_ms) = self.unread_since_ms.take() {
            // The waiting frames may have been sent that long ago, and their records would get a
            // fresh timestamp.
            let waited = Duration::from_millis(boot_ms().saturating_sub(since_ms));
            if waited > STOOD_STILL {
                return Poll::Ready(Step::Close(Close::HeartbeatTimeout));
            }
        }
        self.socket.poll_read(cx).map(|read| match read {
            SocketEvent::Message(Message::Text(text)) => Step::Frame(text),
            SocketEvent::Message(Message::Binary(_)) => Step::Binary,
            SocketEvent::Message(_) => Step::ClientAlive,
            SocketEvent::Ended(ended) => Step::Ended(ended),
        })
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.clock.expires {
            self.listener.outbox.close(Close::TokenExpired);
        } else if !self.clock.expiry_announced && now + EXPIRING >= self.clock.expires {
            self.clock.expiry_announced = true;
            let left = self.clock.expires - now;
            let in_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            self.listener
                .outbox
                .push(super::wire::token_expiring(in_ms));
        }
        if now >= self.clock.next_ping {
            // A live client has sent at least a pong within two ping intervals.
            if now - self.clock.last_received >= 2 * self.clock.ping {
                self.listener.outbox.close(Close::HeartbeatTimeout);
            } else {
                self.socket.ping();
            }
            self.clock.next_ping = now + self.clock.ping;
        }
        self.clock.rearm();
    }
}

impl Clock {
    fn new(ping: Duration, identity: &Identity) -> Clock {
        let now = Instant::now();
        let next_ping = now + ping;
        let mut clock = Clock {
            timer: Box::pin(tokio::time::sleep_until(next_ping)),
            ping,
            next_ping,
            last_received: now,
            expires: now,
            expiry_announced: false,
        };
        clock.renew(identity);
        clock
    }

    /// Follows the expiry of another token.
    fn renew(&mut self, identity: &Identity) {
        let left = Duration::from_millis(identity.expires_at_ms.saturating_sub(now_ms()));
        self.expires = Instant::now() + left;
        self.expiry_announced = false;
        self.rearm();
    }

    fn rearm(&mut self) {
        let expiry = if self.expiry_announced {
            self.expires
        } else {
            self.told_at()
        };
        self.timer.as_mut().reset(self.next_ping.min(expiry));
    }

    /// When the client gets `token_expiring`.
    fn told_at(&self) -> Instant {
        self.expires.checked_sub(EXPIRING).unwrap_or(self.expires)
    }
}
