//! One WebSocket: from the upgrade to its last frame, in one task.
//!
//! Frames are handled in the order in which they came. What takes long (a join, a file's rights)
//! holds back the frames behind it; what may go on beside others (a resume, a page of history) does
//! not. A send is on its way before the next frame is looked at, so sends stay in order.

mod requests;
mod resume;
mod socket;
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
use crate::accounts::{Accounts, Identity};
use crate::chat::wire::close::Close;
use crate::domain::ChannelName;

use requests::{Done, Work};
use socket::{Read, Socket};

pub use socket::{Ended, websocket};
pub use start::{Arrival, run};

/// How long before its end a session is told that its token runs out.
const EXPIRING: Duration = Duration::from_secs(60);

/// Pages of history that a session may have asked for at once; more wait in the socket. Resumes are
/// bounded by the channels that a session may join.
const PAGES_AT_ONCE: usize = 4;

/// A channel that the session has joined.
struct Joined {
    channel: Arc<HubChannel>,
    subscription: Arc<Subscription>,
}

/// A session whose user is known.
struct Session<S> {
    chat: Arc<Chat>,
    accounts: Arc<Accounts>,
    listener: Arc<Listener>,
    socket: Socket<S>,
    identity: Identity,
    joined: HashMap<ChannelName, Joined>,
    /// What has to end before the next frame is looked at.
    first: Option<Work>,
    /// What goes on beside: resumes, and pages of history.
    beside: Vec<Work>,
    /// Pages among them.
    pages: usize,
    /// Pages are read one after the other, each when there is room for it.
    page_turn: Arc<tokio::sync::Mutex<()>>,
    clock: Clock,
    /// Since when frames wait in the socket unread, ms since boot.
    unread_since_ms: Option<u64>,
    /// Of the pulse, when the session began.
    epoch: u64,
}

/// The session's own times.
struct Clock {
    timer: Pin<Box<Sleep>>,
    ping: Duration,
    next_ping: Instant,
    heard: Instant,
    expires: Instant,
    expiring_told: bool,
}

/// What happens next in a session.
enum Step {
    Frame(Utf8Bytes),
    /// Not text.
    Binary,
    /// A ping or a pong: somebody is there.
    Heard,
    Done(Box<Done>),
    Timer,
    Close(Close),
    Ended(Ended),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Serves until the session ends; tells how.
    async fn serve(&mut self) -> Ended {
        loop {
            match poll_fn(|cx| self.poll_step(cx)).await {
                Step::Frame(text) => {
                    self.clock.heard = Instant::now();
                    self.receive(&text);
                }
                Step::Binary => {
                    self.clock.heard = Instant::now();
                    self.refuse_binary();
                }
                Step::Heard => self.clock.heard = Instant::now(),
                Step::Done(done) => self.finish(*done),
                Step::Timer => self.tick(),
                Step::Close(why) => return Ended::Close(why),
                Step::Ended(ended) => return ended,
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.chat.pulse.epoch() != self.epoch {
            return Poll::Ready(Step::Close(Close::HeartbeatTimeout));
        }
        if let Poll::Ready(ended) = self.socket.poll_write(cx, &self.listener.outbox) {
            return Poll::Ready(match ended {
                Ended::Close(why) => Step::Close(why),
                other => Step::Ended(other),
            });
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
                // Their order does not matter.
                drop(self.beside.swap_remove(at));
                return Poll::Ready(done);
            }
        }
        Poll::Pending
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.first.is_some() || self.pages >= PAGES_AT_ONCE {
            self.unread_since_ms.get_or_insert_with(boot_ms);
            return Poll::Pending;
        }
        if let Some(since_ms) = self.unread_since_ms.take() {
            let waited = Duration::from_millis(boot_ms().saturating_sub(since_ms));
            if waited > STOOD_STILL {
                return Poll::Ready(Step::Close(Close::HeartbeatTimeout));
            }
        }
        self.socket.poll_read(cx).map(|read| match read {
            Read::Message(Message::Text(text)) => Step::Frame(text),
            Read::Message(Message::Binary(_)) => Step::Binary,
            Read::Message(_) => Step::Heard,
            Read::Ended(ended) => Step::Ended(ended),
        })
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.clock.expires {
            self.listener.outbox.close(Close::TokenExpired);
        } else if !self.clock.expiring_told && now + EXPIRING >= self.clock.expires {
            self.clock.expiring_told = true;
            let left = self.clock.expires - now;
            let in_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            self.listener
                .outbox
                .push(super::wire::token_expiring(in_ms));
        }
        if now >= self.clock.next_ping {
            if now - self.clock.heard >= 2 * self.clock.ping {
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
            heard: now,
            expires: now,
            expiring_told: false,
        };
        clock.renew(identity);
        clock
    }

    /// Takes the end of another token.
    fn renew(&mut self, identity: &Identity) {
        let left = Duration::from_millis(identity.expires_at_ms.saturating_sub(wall_ms()));
        self.expires = Instant::now() + left;
        self.expiring_told = false;
        self.rearm();
    }

    fn rearm(&mut self) {
        let expiry = if self.expiring_told {
            self.expires
        } else {
            self.told_at()
        };
        self.timer.as_mut().reset(self.next_ping.min(expiry));
    }

    /// When the client is told that its token runs out.
    fn told_at(&self) -> Instant {
        self.expires.checked_sub(EXPIRING).unwrap_or(self.expires)
    }
}

fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
