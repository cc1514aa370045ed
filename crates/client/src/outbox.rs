//! The posts that the server has not answered yet, in the order in which they were sent.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use lakechat_core::domain::{ChannelName, ClientMsgId, FileId, Id};

/// A message to be sent, or a change of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub channel: ChannelName,
    pub action: PostAction,
    /// Of a message, or of its edit.
    pub text: String,
    /// Identifies the message across retries. [`Post::text`] makes a random one.
    pub client_msg_id: ClientMsgId,
    pub reply_to: Option<Id>,
    pub file_id: Option<FileId>,
}

/// What a post does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PostAction {
    #[default]
    Send,
    /// Replaces the text of this message.
    Edit(Id),
    Delete(Id),
    /// Adds a reaction to a message, or takes it back.
    React {
        id: Id,
        emoji: String,
        on: bool,
    },
}

impl Post {
    /// An edit of a message of the user's own.
    pub fn edit(channel: ChannelName, id: Id, text: impl Into<String>) -> Post {
        Post {
            action: PostAction::Edit(id),
            ..Post::text(channel, text)
        }
    }

    pub fn delete(channel: ChannelName, id: Id) -> Post {
        Post {
            action: PostAction::Delete(id),
            ..Post::text(channel, "")
        }
    }

    pub fn react(channel: ChannelName, id: Id, emoji: impl Into<String>, on: bool) -> Post {
        let emoji = emoji.into();
        Post {
            action: PostAction::React { id, emoji, on },
            ..Post::text(channel, "")
        }
    }

    /// A message with this text and a random `client_msg_id`.
    pub fn text(channel: ChannelName, text: impl Into<String>) -> Post {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Post {
            channel,
            action: PostAction::Send,
            text: text.into(),
            client_msg_id: ClientMsgId::parse(&id).expect("32 hex digits are printable"),
            reply_to: None,
            file_id: None,
        }
    }
}

/// A post that the server has not answered yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub post: Post,
    /// When it was first written to a connection, by the session's clock.
    pub first_sent: Option<Duration>,
    /// The `ref` of the frame that was written to the current connection.
    pub in_flight: Option<u64>,
    /// Its place in the bounded outbox, which is free again when this is dropped.
    _permit: OwnedSemaphorePermit,
}

impl Pending {
    pub fn new(post: Post, permit: OwnedSemaphorePermit) -> Pending {
        Pending {
            post,
            first_sent: None,
            in_flight: None,
            _permit: permit,
        }
    }
}

/// Pending posts, oldest first. The permits that they hold bound their number.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Pending>);

impl Outbox {
    pub fn push(&mut self, pending: Pending) {
        self.0.push_back(pending);
    }

    pub fn in_flight(&self) -> usize {
        self.0.iter().filter(|p| p.in_flight.is_some()).count()
    }

    /// Whether the server has yet to answer a post of a channel on the current connection.
    pub fn has_in_flight(&self, channel: &ChannelName) -> bool {
        let mut posts = self.0.iter();
        posts.any(|p| p.in_flight.is_some() && p.post.channel == *channel)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.0.iter_mut()
    }

    /// Removes the post that is in flight under this `ref`.
    pub fn take_answered(&mut self, reference: u64) -> Option<Post> {
        self.take(|p| p.in_flight == Some(reference))
    }

    /// Removes a post that was received as a message, unless it is in flight: then its ack follows.
    pub fn take_received(&mut self, channel: &ChannelName, id: &ClientMsgId) -> Option<Post> {
        self.take(|p| {
            p.in_flight.is_none()
                && p.first_sent.is_some()
                && p.post.client_msg_id == *id
                && p.post.channel == *channel
        })
    }

    /// Marks the post that is in flight under this `ref` to be sent again.
    pub fn retry_later(&mut self, reference: u64) -> Option<&Post> {
        let pending = self.0.iter_mut().find(|p| p.in_flight == Some(reference))?;
        pending.in_flight = None;
        Some(&pending.post)
    }

    /// Removes the posts of a channel that are not in flight.
    pub fn take_unsent(&mut self, channel: &ChannelName) -> Vec<Post> {
        let (unsent, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|p| p.in_flight.is_none() && p.post.channel == *channel);
        self.0 = kept;
        unsent.into_iter().map(|p| p.post).collect()
    }

    /// The channels that have pending posts.
    pub fn channels(&self) -> BTreeSet<ChannelName> {
        self.0.iter().map(|p| p.post.channel.clone()).collect()
    }

    /// To be called after the connection ended: nothing is in flight any more.
    pub fn disconnected(&mut self) {
        self.0.iter_mut().for_each(|p| p.in_flight = None);
    }

    /// Whether a channel has a post that was first sent at or before `time`.
    pub fn has_sent_by(&self, channel: &ChannelName, time: Duration) -> bool {
        self.0
            .iter()
            .any(|p| p.post.channel == *channel && p.first_sent.is_some_and(|t| t <= time))
    }

    fn take(&mut self, wanted: impl Fn(&Pending) -> bool) -> Option<Post> {
        let at = self.0.iter().position(wanted)?;
        self.0.remove(at).map(|p| p.post)
    }
}
