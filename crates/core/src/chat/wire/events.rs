//! Frames about changes of messages.

use serde::Serialize;

use super::Frame;
use crate::domain::{Change, ChangeKind, ChannelName, Id, Message, ReactionCounts, UserName};

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
    #[serde(flatten)]
    reaction: Option<Reaction<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reactions: Option<&'a ReactionCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    my_reactions: Option<Vec<&'a str>>,
}

/// One person's reaction, or the end of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Reaction<'a> {
    pub user: &'a UserName,
    pub emoji: &'a str,
    pub on: bool,
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
            reaction: None,
            reactions: None,
            my_reactions: None,
        }
    }
}

/// The frame that delivers an edit to all receivers.
pub fn edited(channel: &ChannelName, event: Id, id: Id, text: &str) -> Frame {
    Frame::encode(&EventFrame {
        text: Some(text),
        edited_at: Some(event.ms()),
        ..EventFrame::new("edited", channel, event, id)
    })
}

/// The frame that delivers a deletion to all receivers.
pub fn deleted(channel: &ChannelName, event: Id, id: Id, deleted_at_ms: u64) -> Frame {
    Frame::encode(&EventFrame {
        deleted_at: Some(deleted_at_ms),
        ..EventFrame::new("deleted", channel, event, id)
    })
}

/// The frame that delivers a reaction to all receivers, with the counts that result.
pub fn reaction(
    channel: &ChannelName,
    event: Id,
    id: Id,
    reaction: Reaction<'_>,
    counts: &ReactionCounts,
) -> Frame {
    Frame::encode(&EventFrame {
        reaction: Some(reaction),
        reactions: Some(counts),
        ..EventFrame::new("reaction", channel, event, id)
    })
}

/// The frame for a change that `reader` missed, with the resulting state of the message.
pub fn missed(
    channel: &ChannelName,
    change: &Change,
    message: &Message,
    reader: &UserName,
) -> Frame {
    match &change.kind {
        ChangeKind::Edit { .. } => Frame::encode(&EventFrame {
            text: Some(message.text.as_str()),
            edited_at: message.edited_at_ms,
            ..EventFrame::new("edited", channel, change.id, message.id)
        }),
        ChangeKind::Delete => deleted(channel, change.id, message.id, change.id.ms()),
        ChangeKind::React { emoji, on } => Frame::encode(&EventFrame {
            reaction: Some(Reaction {
                user: &change.user,
                emoji,
                on: *on,
            }),
            reactions: Some(&message.reaction_counts()),
            my_reactions: Some(message.reactions_of(reader).collect()),
            ..EventFrame::new("reaction", channel, change.id, message.id)
        }),
    }
}
