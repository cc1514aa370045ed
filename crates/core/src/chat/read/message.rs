//! A message as a read finds it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::chat::hub::HubChannel;
use crate::chat::log::entry::Entry;
use crate::chat::wire::{self, Frame, MessageObject};
use crate::domain::{Id, Message, UserName};

/// A message in its current state, from history or from the tail.
#[derive(Clone, Debug)]
pub enum ReadMessage {
    /// A row of history, with the changes of the tail.
    Row(Box<Message>),
    /// An entry of the tail, always an accepted message, and its changes, in order.
    Tail(Arc<Entry>, Vec<Arc<Entry>>),
}

impl ReadMessage {
    pub fn id(&self) -> Id {
        match self {
            ReadMessage::Row(message) => message.id,
            ReadMessage::Tail(entry, _) => entry.id,
        }
    }

    /// Whether its frame is the one that live receivers got: the message is as it was sent.
    pub fn is_shared(&self) -> bool {
        matches!(self, ReadMessage::Tail(_, changes) if changes.is_empty())
    }

    /// The message, without its number if it isn't in history.
    pub fn state(&self) -> Cow<'_, Message> {
        match self {
            ReadMessage::Row(message) => Cow::Borrowed(message),
            ReadMessage::Tail(entry, changes) => {
                let mut message = entry.message(0).expect("only messages are read");
                apply(&mut message, changes);
                Cow::Owned(message)
            }
        }
    }

    /// The frame that delivers the message to `reader`.
    pub fn frame(&self, channel: &HubChannel, reader: &UserName) -> Frame {
        match self {
            ReadMessage::Tail(entry, changes) if changes.is_empty() => {
                entry.frame.clone().expect("messages have frames")
            }
            _ => wire::message_frame(&channel.name, &self.state(), reader),
        }
    }

    /// The message as JSON for a page of history.
    pub fn object(&self, channel: &HubChannel, reader: &UserName) -> Box<RawValue> {
        let text = if self.is_shared() {
            wire::object_in_frame(&channel.name, &self.frame(channel, reader))
        } else {
            serde_json::to_string(&MessageObject::of(&self.state(), reader))
                .expect("messages have string keys")
        };
        RawValue::from_string(text).expect("it was just encoded")
    }
}

/// Applies entries of the tail that change a message, in order.
pub(super) fn apply<'a>(message: &mut Message, changes: impl IntoIterator<Item = &'a Arc<Entry>>) {
    let changes = changes.into_iter().filter_map(|entry| entry.change());
    changes.for_each(|change| message.apply(&change));
}
