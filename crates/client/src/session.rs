//! A chat session that outlives its connections.
//!
//! It reconnects with full-jitter backoff, resumes every joined channel after the last id that it
//! received, sends unanswered posts again, in order and under the same `client_msg_id`, and renews
//! its token. When it can't go on, its last event is [`Event::Stopped`].

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

/// The session has ended. Its last event says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has ended")]
pub struct SessionEnded;

/// The handle of a session. Dropping the last clone closes the session.
///
/// Read the events in a separate task: when their queue is full, these calls wait.
#[derive(Clone, Debug)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    outbox_slots: Arc<Semaphore>,
}

/// The events of a session, in order. Dropping it ends the session.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
}

impl Events {
    /// None after the session has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.queue.recv().await
    }
}

impl Session {
    /// Starts a session, which connects in the background.
    pub fn start(credentials: Arc<Credentials>, options: Options) -> (Session, Events) {
        // Full: callers wait until the session has delivered its events.
        let (commands, received) = mpsc::channel(64);
        // Full: the session stops reading its socket, see `Options::events`.
        let (events, queue) = mpsc::channel(options.events);
        let outbox_slots = Arc::new(Semaphore::new(options.outbox));
        // Ends when the last handle or the events are dropped, or by `Stopped`.
        tokio::spawn(Driver::new(credentials, options, received, events).run());
        let session = Session {
            commands,
            outbox_slots,
        };
        (session, Events { queue })
    }

    /// Joins a channel, and joins it again on each new connection. With `after`, first come the
    /// messages after that id.
    pub async fn join(&self, channel: ChannelName, after: Option<Id>) -> Result<(), SessionEnded> {
        self.command(Command::Join(channel, after)).await
    }

    /// Leaves a channel. Posts in it that are not in flight are refused.
    pub async fn leave(&self, channel: ChannelName) -> Result<(), SessionEnded> {
        self.command(Command::Leave(channel)).await
    }

    /// Sends a text under a random `client_msg_id`, which `Acked` or `Refused` will carry.
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

    /// Sends a post. Waits while the outbox is full.
    pub async fn post(&self, post: Post) -> Result<(), SessionEnded> {
        let slots = self.outbox_slots.clone();
        let slot = slots.acquire_owned().await.map_err(|_| SessionEnded)?;
        self.command(Command::Post(Pending::new(post, slot))).await
    }

    /// The last messages of a channel, before an id if one is given. Asks once, on the running
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
        self.command(command)
            .await
            .map_err(|SessionEnded| HistoryError::Disconnected)?;
        answered.await.unwrap_or(Err(HistoryError::Disconnected))
    }

    async fn command(&self, command: Command) -> Result<(), SessionEnded> {
        self.commands.send(command).await.map_err(|_| SessionEnded)
    }
}
