//! A chat session that outlives its connections.
//!
//! It reconnects with full-jitter backoff, resumes every joined channel after the last id seen,
//! sends again what was not answered, in order and under the same `client_msg_id`, and renews its
//! token. What it can't mend it tells once, as [`Event::Stopped`].

mod driver;
mod ending;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::api::{Page, Refusal};
use super::conversation::Answer;
use super::credentials::Credentials;
use super::frame::{ChatMessage, Welcome};
use super::outbox::{Pending, Post};
use driver::Driver;
pub use ending::Stop;
use lakechat_core::domain::{ChannelName, ClientMsgId, Id};

/// Tells time since some moment; goes on while the machine sleeps.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How a session behaves. The default is what a person's client wants.
#[derive(Clone)]
pub struct Options {
    /// The span of the first wait before a reconnect; it doubles with each failure.
    pub backoff_base: Duration,
    /// The longest such span.
    pub backoff_cap: Duration,
    /// A connection that stood this long ends the growth of the waits.
    pub steady_after: Duration,
    /// How long opening a connection, up to its `welcome`, may take.
    pub connect_timeout: Duration,
    /// Beyond two silent ping intervals, how long until a server counts as dead.
    pub silence_slack: Duration,
    /// Posts without an answer; [`Session::post`] waits while there are as many.
    pub outbox: usize,
    /// Sends in flight at once.
    pub window: usize,
    /// Events not taken yet. When full the session reads nothing more from its socket, and the
    /// server may close it as slow: nothing is lost, it resumes.
    pub events: usize,
    /// A post first tried longer ago than this is sent again only after the resume has shown that
    /// it isn't there: the server's window may have forgotten it. The protocol promises 5 minutes.
    pub stale_after: Duration,
    /// Decides the jitter.
    pub seed: u64,
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            backoff_base: Duration::from_millis(250),
            backoff_cap: Duration::from_secs(30),
            steady_after: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            silence_slack: Duration::from_secs(5),
            outbox: 1_024,
            window: 64,
            events: 1_024,
            stale_after: Duration::from_secs(240),
            seed: rand::random(),
            clock: Arc::new(boot_time),
        }
    }
}

/// `Instant` stands still while the machine sleeps; what the server remembers doesn't.
fn boot_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.try_into()
        .expect("time since boot is neither negative nor out of range")
}

/// What happens in a session.
#[derive(Debug)]
pub enum Event {
    Connected(Box<Welcome>),
    /// Connected again. Joined channels are being resumed, each tells it by `Joined`.
    Reconnected(Box<Welcome>),
    /// A connection is gone, or couldn't be had.
    Disconnected {
        reason: String,
        retry_in: Duration,
    },
    Joined {
        channel: ChannelName,
        at: Id,
        members: u64,
        resumed: bool,
    },
    /// The channel is no longer joined: as asked, or because the server refused it.
    Left {
        channel: ChannelName,
        refusal: Option<Refusal>,
    },
    Message {
        channel: ChannelName,
        message: ChatMessage,
    },
    /// A post is stored. Each post is answered once, by this or by `Refused`.
    Acked {
        channel: ChannelName,
        client_msg_id: ClientMsgId,
        id: Id,
        /// It was known from an earlier try.
        duplicate: bool,
    },
    /// A post was not taken and will not be tried again.
    Refused {
        channel: ChannelName,
        client_msg_id: ClientMsgId,
        refusal: Refusal,
    },
    /// The last event, unless the session was closed by its owner.
    Stopped(Stop),
}

/// The session has stopped; its events say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has ended")]
pub struct SessionEnded;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    #[error("{0}")]
    Refused(Refusal),
    /// The connection went before the answer came, or there is none.
    #[error("not connected")]
    Disconnected,
}

pub(super) enum Command {
    Join(ChannelName, Option<Id>),
    Leave(ChannelName),
    Post(Pending),
    History {
        channel: ChannelName,
        before: Option<Id>,
        limit: usize,
        answer: Answer,
    },
}

/// The handle of a session. It lives until the last clone is dropped; then it says good-bye.
///
/// Take the events in a task of their own: while nobody does and their queue is full, these calls
/// wait too.
#[derive(Clone, Debug)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
}

/// The events of a session, in order. Dropping it ends the session.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
}

impl Events {
    /// None once the session has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.queue.recv().await
    }
}

impl Session {
    /// Begins a session; it connects by itself.
    pub fn start(credentials: Arc<Credentials>, options: Options) -> (Session, Events) {
        // Full: callers wait, the session takes commands as fast as its events are taken.
        let (commands, taken) = mpsc::channel(64);
        // Full: the session stops reading, see `Options::events`.
        let (told, queue) = mpsc::channel(options.events);
        let room = Arc::new(Semaphore::new(options.outbox));
        // Ends when the last handle or the events are dropped, or by `Stopped`.
        tokio::spawn(Driver::new(credentials, options, taken, told).run());
        (Session { commands, room }, Events { queue })
    }

    /// Joins a channel and keeps it joined; `after` an id what follows it comes first.
    pub async fn join(&self, channel: ChannelName, after: Option<Id>) -> Result<(), SessionEnded> {
        self.command(Command::Join(channel, after)).await
    }

    /// Leaves a channel; its posts that are not in flight are refused.
    pub async fn leave(&self, channel: ChannelName) -> Result<(), SessionEnded> {
        self.command(Command::Leave(channel)).await
    }

    /// Sends a text under a fresh `client_msg_id`, which its answer among the events will carry.
    pub async fn send(
        &self,
        channel: ChannelName,
        text: impl Into<String>,
    ) -> Result<ClientMsgId, SessionEnded> {
        let post = Post::text(channel, text);
        let id = post.client_msg_id.clone();
        self.post(post).await?;
        Ok(id)
    }

    /// Sends a post. Waits for room in the outbox.
    pub async fn post(&self, post: Post) -> Result<(), SessionEnded> {
        let room = self.room.clone().acquire_owned().await;
        let room = room.map_err(|_| SessionEnded)?;
        self.command(Command::Post(Pending::new(post, room))).await
    }

    /// The newest messages of a channel, before an id if one is given. Asked once, on the running
    /// connection.
    pub async fn history(
        &self,
        channel: ChannelName,
        before: Option<Id>,
        limit: usize,
    ) -> Result<Page, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let command = Command::History {
            channel,
            before,
            limit,
            answer,
        };
        let asked = self.command(command).await;
        asked.map_err(|SessionEnded| Unanswered::Disconnected)?;
        answered.await.unwrap_or(Err(Unanswered::Disconnected))
    }

    async fn command(&self, command: Command) -> Result<(), SessionEnded> {
        self.commands.send(command).await.map_err(|_| SessionEnded)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Command::Join(..) => "Join",
            Command::Leave(_) => "Leave",
            Command::Post(_) => "Post",
            Command::History { .. } => "History",
        })
    }
}
