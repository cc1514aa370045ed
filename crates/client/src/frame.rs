//! Frames as a client reads and writes them.
//!
//! The reader is tolerant: it ignores unknown fields. Of a frame of unknown type it uses only the
//! event id, which moves the channel's cursor.

use serde::{Deserialize, Serialize};

use super::wire::{ChannelInfo, ChatChange, ChatMessage, Page, Refusal};
use lakechat_core::domain::{ChannelName, ClientMsgId, FileId, Id, UserName};

/// The first frame of a session.
#[derive(Clone, Debug, Deserialize)]
pub struct Welcome {
    pub session: String,
    pub server: String,
    pub user: UserName,
    pub ping_ms: u64,
    #[serde(default)]
    pub degraded: Vec<String>,
    pub limits: Limits,
    /// None if the server can't read the list at the moment.
    pub channels: Option<Vec<ChannelInfo>>,
    /// If there are more channels: the name after which they begin.
    pub channels_next: Option<ChannelName>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Limits {
    pub frame_bytes: usize,
    pub text_bytes: usize,
    /// Channels that one session may join.
    pub channels: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Joined {
    #[serde(rename = "ref")]
    pub reference: Option<u64>,
    pub channel: ChannelName,
    pub at: Id,
    #[serde(default)]
    pub members: u64,
    #[serde(default)]
    pub resumed: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Ack {
    #[serde(rename = "ref")]
    pub reference: Option<u64>,
    pub id: Id,
    #[serde(default)]
    pub duplicate: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Refused {
    #[serde(rename = "ref")]
    pub reference: Option<u64>,
    pub error: Refusal,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Closing {
    pub code: u16,
    #[serde(default)]
    pub reason: String,
    pub reconnect_after_ms: Option<u64>,
    pub retry_after_ms: Option<u64>,
}

/// A frame from the server.
#[derive(Clone, Debug)]
pub(super) enum Incoming {
    Welcome(Box<Welcome>),
    Joined(Joined),
    /// The `ref` of the request to leave; None if the membership has ended.
    Left(Option<u64>, ChannelName),
    Message(ChannelName, Box<ChatMessage>),
    Change(ChannelName, Box<ChatChange>),
    Ack(Ack),
    History(Option<u64>, Page),
    Refused(Refused),
    TokenExpiring,
    Closing(Closing),
    /// An event of a channel, of a type that this client doesn't know or use.
    Event(ChannelName, Id),
    /// Anything else.
    Ignored,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(rename = "ref")]
    reference: Option<u64>,
    channel: Option<ChannelName>,
    event: Option<Id>,
}

impl Incoming {
    /// Parses a text frame. A malformed frame is ignored like one of an unknown type.
    pub fn parse(text: &str) -> Incoming {
        Incoming::try_parse(text).unwrap_or(Incoming::Ignored)
    }

    fn try_parse(text: &str) -> Result<Incoming, serde_json::Error> {
        let head: Head = serde_json::from_str(text)?;
        Ok(match (&*head.kind, head.channel, head.event) {
            ("message", Some(channel), _) => {
                Incoming::Message(channel, serde_json::from_str(text)?)
            }
            ("ack", ..) => Incoming::Ack(serde_json::from_str(text)?),
            ("joined", ..) => Incoming::Joined(serde_json::from_str(text)?),
            ("left", Some(channel), _) => Incoming::Left(head.reference, channel),
            ("history", ..) => Incoming::History(head.reference, serde_json::from_str(text)?),
            ("error", ..) => Incoming::Refused(serde_json::from_str(text)?),
            ("welcome", ..) => Incoming::Welcome(serde_json::from_str(text)?),
            ("token_expiring", ..) => Incoming::TokenExpiring,
            ("closing", ..) => Incoming::Closing(serde_json::from_str(text)?),
            (_, Some(channel), Some(event)) => match serde_json::from_str(text) {
                Ok(change) => Incoming::Change(channel, change),
                Err(_) => Incoming::Event(channel, event),
            },
            _ => Incoming::Ignored,
        })
    }
}

/// A frame to the server.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Outgoing<'a> {
    Join {
        #[serde(rename = "ref")]
        reference: u64,
        channel: &'a ChannelName,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<Id>,
    },
    Leave {
        #[serde(rename = "ref")]
        reference: u64,
        channel: &'a ChannelName,
    },
    Send {
        #[serde(rename = "ref")]
        reference: u64,
        channel: &'a ChannelName,
        text: &'a str,
        client_msg_id: &'a ClientMsgId,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<Id>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_id: Option<FileId>,
    },
    Edit {
        #[serde(rename = "ref")]
        reference: u64,
        channel: &'a ChannelName,
        id: Id,
        text: &'a str,
        client_msg_id: &'a ClientMsgId,
    },
    Delete {
        #[serde(rename = "ref")]
        reference: u64,
        channel: &'a ChannelName,
        id: Id,
        client_msg_id: &'a ClientMsgId,
    },
    React {
        #[serde(rename = "ref")]
        reference: u64,
        channel: &'a ChannelName,
        id: Id,
        emoji: &'a str,
        on: bool,
        client_msg_id: &'a ClientMsgId,
    },
    History {
        #[serde(rename = "ref")]
        reference: u64,
        channel: &'a ChannelName,
        #[serde(skip_serializing_if = "Option::is_none")]
        before: Option<Id>,
        limit: usize,
    },
    Refresh {
        token: &'a str,
    },
}

impl Outgoing<'_> {
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("frames have string keys and no floats")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ChatChangeKind;

    #[test]
    fn message_is_read_with_what_it_carries() {
        let text = r#"{"type":"message","channel":"ops","id":"42","sender":"bob","sent_at":7,
            "text":"hi \"you\"","client_msg_id":"c-7","file":{"id":"3b241101-e2bb-4255-8caf-4136c566a962",
            "name":"a","size":3,"type":"text/plain"},"novel":[1]}"#;
        let Incoming::Message(channel, message) = Incoming::parse(text) else {
            panic!("a message");
        };
        assert_eq!(channel.as_str(), "ops");
        assert_eq!(
            (message.id.as_u64(), message.text.as_str()),
            (42, "hi \"you\"")
        );
        assert_eq!(message.file.expect("a file").size, 3);
    }

    #[test]
    fn change_is_read_by_its_type() {
        let head = r#""channel":"ops","event":"43","id":"42""#;
        let read = |rest: &str| match Incoming::parse(&format!("{{{head},{rest}}}")) {
            Incoming::Change(_, change) => change.kind,
            other => panic!("a change: {other:?}"),
        };
        let edited = read(r#""type":"edited","text":"ho","edited_at":7,"novel":1"#);
        let (text, edited_at) = ("ho".to_owned(), 7);
        assert_eq!(edited, ChatChangeKind::Edited { text, edited_at });
        let deleted = read(r#""type":"deleted","deleted_at":7"#);
        assert_eq!(deleted, ChatChangeKind::Deleted { deleted_at: 7 });
        let reaction =
            read(r#""type":"reaction","user":"bob","emoji":"x","on":true,"reactions":{"x":2}"#);
        let ChatChangeKind::Reaction { reactions, .. } = reaction else {
            panic!("a reaction: {reaction:?}");
        };
        assert_eq!(reactions["x"], 2);
    }

    #[test]
    fn what_is_unknown_is_ignored_but_for_its_event_id() {
        let event = r#"{"type":"sparkled","channel":"ops","event":"43","by":{"x":1}}"#;
        assert!(matches!(
            Incoming::parse(event),
            Incoming::Event(c, id) if c.as_str() == "ops" && id.as_u64() == 43
        ));
        for odd in [
            "",
            "[]",
            "nonsense",
            r#"{"type":"sparkled"}"#,
            r#"{"type":"message"}"#,
            r#"{"type":"message","channel":"ops","id":"x"}"#,
            r#"{"type":7}"#,
            r#"{"type":"ack","id":-1}"#,
        ] {
            assert!(matches!(Incoming::parse(odd), Incoming::Ignored), "{odd}");
        }
    }

    #[test]
    fn frames_are_compact_and_leave_out_what_is_absent() {
        let channel = ChannelName::general();
        let join = Outgoing::Join {
            reference: 1,
            channel: &channel,
            after: Some(Id::ZERO),
        };
        assert_eq!(
            join.encode(),
            r#"{"type":"join","ref":1,"channel":"general","after":"00000000000000000000"}"#
        );
        let history = Outgoing::History {
            reference: 2,
            channel: &channel,
            before: None,
            limit: 1,
        };
        assert_eq!(
            history.encode(),
            r#"{"type":"history","ref":2,"channel":"general","limit":1}"#
        );
    }
}
