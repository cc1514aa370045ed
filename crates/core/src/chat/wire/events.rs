//! Frames about changes of messages.

use serde::Serialize;

use super::Frame;
use super::outgoing::encode;
use crate::domain::{Change, ChangeKind, ChannelName, Id, Message};

/// A change of a message. What it leaves out is as the client knows it.
#[derive(Serialize)]
struct EventFrame<'a> {
    r#type: &'static str,
    channel: &'a ChannelName,
    event: Id,
    id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<u64>,
}

impl<'a> EventFrame<'a> {
    fn new(r#type: &'static str, channel: &'a ChannelName, event: Id, id: Id) -> EventFrame<'a> {
        EventFrame {
            r#type,
            channel,
            event,
            id,
            text: None,
            edited_at: None,
            deleted_at: None,
        }
    }
}

/// The frame that delivers an edit to all receivers.
pub fn edited(channel: &ChannelName, event: Id, id: Id, text: &str) -> Frame {
    encode(&EventFrame {
        text: Some(text),
        edited_at: Some(event.ms()),
        ..EventFrame::new("edited", channel, event, id)
    })
}

/// The frame that delivers a deletion to all receivers.
pub fn deleted(channel: &ChannelName, event: Id, id: Id, deleted_at_ms: u64) -> Frame {
    encode(&EventFrame {
        deleted_at: Some(deleted_at_ms),
        ..EventFrame::new("deleted", channel, event, id)
    })
}

/// The frame that tells a client of a change that it missed, with the state of the message. None if
/// clients don't get this kind of change.
pub fn missed(channel: &ChannelName, change: &Change, message: &Message) -> Option<Frame> {
    match change.kind {
        ChangeKind::Edit { .. } => {
            let frame = EventFrame {
                text: Some(message.text.as_str()),
                edited_at: message.edited_at_ms,
                ..EventFrame::new("edited", channel, change.id, message.id)
            };
            Some(encode(&frame))
        }
        ChangeKind::Delete => Some(deleted(channel, change.id, message.id, change.id.ms())),
        ChangeKind::React { .. } => None,
    }
}
