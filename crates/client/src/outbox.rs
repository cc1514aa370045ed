//! What was sent and not answered yet, in the order of the sends.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use lakechat_core::domain::{ChannelName, ClientMsgId, FileId, Id};

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub channel: ChannelName,
    pub text: String,
    /// What makes a retry known as one; see [`Post::text`] for a fresh one.
    pub client_msg_id: ClientMsgId,
    pub reply_to: Option<Id>,
    pub file_id: Option<FileId>,
}

impl Post {
    /// Some text, under a random `client_msg_id`.
    pub fn text(channel: ChannelName, text: impl Into<String>) -> Post {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Post {
            channel,
            text: text.into(),
            client_msg_id: ClientMsgId::parse(&id).expect("32 hex digits are printable"),
            reply_to: None,
            file_id: None,
        }
    }
}

/// A post and how far it got.
#[derive(Debug)]
pub(super) struct Pending {
    pub post: Post,
    /// When it was first written to a socket, by the session's clock.
    pub first_tried: Option<Duration>,
    /// The ref of the try that this connection has not answered yet.
    pub in_flight: Option<u64>,
    /// Its place in the bounded outbox, given back when it is answered.
    _room: OwnedSemaphorePermit,
}

impl Pending {
    pub fn new(post: Post, room: OwnedSemaphorePermit) -> Pending {
        Pending {
            post,
            first_tried: None,
            in_flight: None,
            _room: room,
        }
    }
}

/// Pending posts, oldest first. Bounded by the permits that its entries hold.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Pending>);

impl Outbox {
    pub fn push(&mut self, pending: Pending) {
        self.0.push_back(pending);
    }

    pub fn in_flight(&self) -> usize {
        self.0.iter().filter(|p| p.in_flight.is_some()).count()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.0.iter_mut()
    }

    /// Takes out the one whose try has this ref.
    pub fn answered(&mut self, reference: u64) -> Option<Post> {
        self.take(|p| p.in_flight == Some(reference))
    }

    /// Takes out the one that came back as a message, unless the answer to its try is still to come.
    pub fn seen(&mut self, channel: &ChannelName, id: &ClientMsgId) -> Option<Post> {
        self.take(|p| {
            p.in_flight.is_none()
                && p.first_tried.is_some()
                && p.post.client_msg_id == *id
                && p.post.channel == *channel
        })
    }

    /// Makes the one whose try has this ref wait for another try.
    pub fn postpone(&mut self, reference: u64) -> Option<&Post> {
        let pending = self.0.iter_mut().find(|p| p.in_flight == Some(reference))?;
        pending.in_flight = None;
        Some(&pending.post)
    }

    /// Takes out those of a channel that are not in flight.
    pub fn abandon(&mut self, channel: &ChannelName) -> Vec<Post> {
        let (gone, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|p| p.in_flight.is_none() && p.post.channel == *channel);
        self.0 = kept;
        gone.into_iter().map(|p| p.post).collect()
    }

    /// The channels that have pending posts.
    pub fn channels(&self) -> BTreeSet<ChannelName> {
        self.0.iter().map(|p| p.post.channel.clone()).collect()
    }

    /// After the connection is gone: nothing is in flight.
    pub fn disconnected(&mut self) {
        self.0.iter_mut().for_each(|p| p.in_flight = None);
    }

    /// Whether a channel has posts whose first try was at or before a time.
    pub fn tried_by(&self, channel: &ChannelName, time: Duration) -> bool {
        self.0
            .iter()
            .any(|p| p.post.channel == *channel && p.first_tried.is_some_and(|t| t <= time))
    }

    fn take(&mut self, wanted: impl Fn(&Pending) -> bool) -> Option<Post> {
        let at = self.0.iter().position(wanted)?;
        self.0.remove(at).map(|p| p.post)
    }
}
