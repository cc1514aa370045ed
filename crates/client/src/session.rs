//! A chat session that outlives its connections.
//!
//! It reconnects with full-jitter backoff, resumes every joined channel after the last id seen,
//! sends again what was not answered, in order and under the same `client_msg_id`, and renews its
//! token. What it can't mend it tells once, as [`Event::Stopped`].

mod command;
mod driver;
mod ending;
mod options;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use self::command::Command;
use self::driver::Driver;
pub use self::options::{Clock, Options};
use super::conversation::HistoryError;
use super::credentials::Credentials;
use super::event::Event;
use super::outbox::{Pending, Post};
use super::wire::Page;
use lakechat_core::domain::{ChannelName, ClientMsgId, Id};

/// The session has stopped; its events say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has ended")]
pub struct SessionEnded;

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
    ) -> Result<Page, HistoryError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::History {
            channel,
            before,
            limit,
            answer,
        };
        let asked = self.command(command).await;
        asked.map_err(|SessionEnded| HistoryError::Disconnected)?;
        answered.await.unwrap_or(Err(HistoryError::Disconnected))
    }

    async fn command(&self, command: Command) -> Result<(), SessionEnded> {
        self.commands.send(command).await.map_err(|_| SessionEnded)
    }
}
