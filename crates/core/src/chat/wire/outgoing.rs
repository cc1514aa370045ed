//! Frames to clients, and the JSON objects that HTTP responses share with them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::close::Close;
use super::{Frame, Ref, events};
use crate::chat::log::record::{Body, Record};
use crate::domain::{Attachment, ChannelName, Id, Message, Problem, UserName};

pub(super) fn encode(frame: &impl Serialize) -> Frame {
    let text = serde_json::to_string(frame).expect("frames have string keys and finite numbers");
    text.into()
}

/// A message in frames and in pages of history, without its channel.
#[derive(Serialize)]
pub struct MessageObject<'a> {
    id: Id,
    sender: &'a str,
    sent_at: u64,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_msg_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Attachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Id>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reactions: BTreeMap<&'a str, usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    my_reactions: Vec<&'a str>,
}

impl<'a> MessageObject<'a> {
    /// Makes the object of a message in its current state. `my_reactions` are those of `reader`. Of a
    /// deleted message nothing is left that its sender or others had put there.
    pub fn of(message: &'a Message, reader: &UserName) -> MessageObject<'a> {
        let is_deleted = message.deleted_at_ms.is_some();
        let people = message
            .reactions
            .iter()
            .filter(|(_, users)| !is_deleted && !users.is_empty());
        let mine = people.clone().filter(|(_, users)| users.contains(reader));
        MessageObject {
            id: message.id,
            sender: message.sender.as_str(),
            sent_at: message.id.ms(),
            text: &message.text,
            client_msg_id: message.client_msg_id.as_ref().map(|c| c.as_str()),
            reply_to: message.reply_to,
            file: message.file.as_ref().filter(|_| !is_deleted),
            edited_at: message.edited_at_ms.filter(|_| !is_deleted),
            deleted_at: message.deleted_at_ms,
            changed: message.changed,
            my_reactions: mine.map(|(emoji, _)| emoji.as_str()).collect(),
            reactions: people
                .map(|(emoji, users)| (emoji.as_str(), users.len()))
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct MessageFrame<'a> {
    r#type: &'static str,
    channel: &'a str,
    #[serde(flatten)]
    message: MessageObject<'a>,
}

/// The frame that delivers an accepted record, encoded once for all receivers. `None` for kinds that
/// they don't get.
pub fn live_frame(id: Id, record: &Record) -> Option<Frame> {
    let channel = &record.channel;
    match &record.body {
        Body::Message { .. } => message_frame_of(id, record),
        Body::Edit { target, text } => Some(events::edited(channel, id, *target, text)),
        Body::Delete { target } => Some(events::deleted(channel, id, *target, id.ms())),
        // A reaction's needs the counts.
        Body::React { .. } | Body::Member { .. } | Body::Topic { .. } | Body::Archive => None,
    }
}

fn message_frame_of(id: Id, record: &Record) -> Option<Frame> {
    let Body::Message {
        text,
        reply_to,
        file,
    } = &record.body
    else {
        return None;
    };
    let message = MessageObject {
        id,
        sender: record.sender.as_str(),
        sent_at: id.ms(),
        text,
        client_msg_id: record.client_msg_id.as_ref().map(|c| c.as_str()),
        reply_to: *reply_to,
        file: file.as_ref(),
        edited_at: None,
        deleted_at: None,
        changed: None,
        reactions: BTreeMap::new(),
        my_reactions: Vec::new(),
    };
    Some(encode(&MessageFrame {
        r#type: "message",
        channel: record.channel.as_str(),
        message,
    }))
}

/// The frame that delivers a message in its current state.
pub fn message_frame(channel: &ChannelName, message: &Message, reader: &UserName) -> Frame {
    let message = MessageObject::of(message, reader);
    encode(&MessageFrame {
        r#type: "message",
        channel: channel.as_str(),
        message,
    })
}

/// Extracts the message object from the [`live_frame`] of a message.
pub fn object_in_frame(channel: &ChannelName, frame: &Frame) -> String {
    // A channel name has no characters that JSON escapes, so its length in the frame is the same.
    let head = r#"{"type":"message","channel":"","#.len() + channel.as_str().len();
    format!("{{{}", &frame.as_str()[head..])
}

/// A channel as its readers get it.
#[derive(Clone, Debug, Serialize)]
pub struct ChannelObject {
    pub name: ChannelName,
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    pub state: &'static str,
    pub created_at: u64,
    /// The reader's role. Omitted if the reader isn't a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// The number of members. Only in `GET /channels/<c>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<usize>,
}

impl ChannelObject {
    /// The size of its JSON.
    pub fn json_bytes(&self) -> usize {
        encode(self).size_bytes()
    }
}

/// The limits of a session, sent in its `welcome` frame.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SessionLimits {
    /// Maximum size of a frame, in bytes.
    pub frame_bytes: usize,
    /// Maximum size of a message's text, in bytes of UTF-8.
    pub text_bytes: usize,
    /// Maximum number of channels that a session may have joined at the same time.
    pub channels: usize,
}

#[derive(Serialize)]
pub struct Welcome<'a> {
    pub session: &'a str,
    pub server: &'a str,
    pub user: &'a UserName,
    pub ping_ms: u64,
    pub degraded: Vec<&'static str>,
    pub limits: SessionLimits,
    /// Omitted if the channels can't be read. Then `degraded` contains the part that prevents it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<ChannelObject>>,
    /// If the user has more channels: the name after which they begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels_next: Option<ChannelName>,
}

#[derive(Serialize)]
struct Typed<T> {
    r#type: &'static str,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Ref,
    #[serde(flatten)]
    fields: T,
}

fn typed<T: Serialize>(r#type: &'static str, reference: Ref, fields: T) -> Frame {
    encode(&Typed {
        r#type,
        reference,
        fields,
    })
}

pub fn welcome(welcome: &Welcome<'_>) -> Frame {
    typed("welcome", None, welcome)
}

pub fn joined(
    reference: Ref,
    channel: &ChannelName,
    at: Id,
    members: usize,
    resumed: bool,
) -> Frame {
    #[derive(Serialize)]
    struct Joined<'a> {
        channel: &'a ChannelName,
        at: Id,
        members: usize,
        resumed: bool,
    }
    typed(
        "joined",
        reference,
        Joined {
            channel,
            at,
            members,
            resumed,
        },
    )
}

/// Reports that a client left a channel. `reference` is `None` if the client didn't ask for it,
/// because its membership ended.
pub fn left(reference: Ref, channel: &str) -> Frame {
    #[derive(Serialize)]
    struct Left<'a> {
        channel: &'a str,
    }
    typed("left", reference, Left { channel })
}

pub fn ack(reference: Ref, id: Id, duplicate: bool, level: super::AckLevel) -> Frame {
    #[derive(Serialize)]
    struct Ack {
        id: Id,
        duplicate: bool,
        level: &'static str,
    }
    typed(
        "ack",
        reference,
        Ack {
            id,
            duplicate,
            level: level.as_str(),
        },
    )
}

/// Acks a change of the message `id`, which is the event `event`.
pub fn change_ack(reference: Ref, id: Id, event: Id, duplicate: bool) -> Frame {
    #[derive(Serialize)]
    struct Ack {
        id: Id,
        event: Id,
        duplicate: bool,
    }
    let fields = Ack {
        id,
        event,
        duplicate,
    };
    typed("ack", reference, fields)
}

pub fn history(
    reference: Ref,
    channel: &ChannelName,
    messages: &[Box<serde_json::value::RawValue>],
    next: Option<&str>,
) -> Frame {
    #[derive(Serialize)]
    struct History<'a> {
        channel: &'a ChannelName,
        messages: &'a [Box<serde_json::value::RawValue>],
        next: Option<&'a str>,
    }
    typed(
        "history",
        reference,
        History {
            channel,
            messages,
            next,
        },
    )
}

pub fn channels(
    reference: Ref,
    channels: &[ChannelObject],
    next: Option<&ChannelName>,
    degraded: bool,
) -> Frame {
    #[derive(Serialize)]
    struct Channels<'a> {
        channels: &'a [ChannelObject],
        next: Option<&'a ChannelName>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        degraded: bool,
    }
    let fields = Channels {
        channels,
        next,
        degraded,
    };
    typed("channels", reference, fields)
}

pub fn refreshed(reference: Ref, expires_in: u64) -> Frame {
    #[derive(Serialize)]
    struct Refreshed {
        expires_in: u64,
    }
    typed("refreshed", reference, Refreshed { expires_in })
}

pub fn token_expiring(in_ms: u64) -> Frame {
    #[derive(Serialize)]
    struct Expiring {
        in_ms: u64,
    }
    typed("token_expiring", None, Expiring { in_ms })
}

/// The fields of an error frame besides the error itself.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct About<'a> {
    /// The channel of a join or resume that can't continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'a ChannelName>,
    /// The id of a message that is in the log but not yet in history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
}

pub fn error(reference: Ref, problem: &Problem, about: About<'_>) -> Frame {
    #[derive(Serialize)]
    struct Failed<'a> {
        #[serde(flatten)]
        about: About<'a>,
        error: &'a Problem,
    }
    typed(
        "error",
        reference,
        Failed {
            about,
            error: problem,
        },
    )
}

pub fn closing(why: Close) -> Frame {
    #[derive(Serialize)]
    struct Closing {
        code: u16,
        reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reconnect_after_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    }
    let (reconnect_after_ms, retry_after_ms) = match why {
        Close::ServerShutdown { reconnect_after_ms } => (Some(reconnect_after_ms), None),
        Close::Flood { retry_after_ms } => (None, Some(retry_after_ms)),
        _ => (None, None),
    };
    let (code, reason) = (why.code(), why.reason());
    typed(
        "closing",
        None,
        Closing {
            code,
            reason,
            reconnect_after_ms,
            retry_after_ms,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClientMsgId, Code};

    #[test]
    fn a_message_is_the_documented_text_live_and_from_its_row() {
        let channel = ChannelName::parse("ops").unwrap();
        let id = Id::from_u64(7_303_000_000_000_000_000).unwrap();
        let body = Body::Message {
            text: "hi".into(),
            reply_to: None,
            file: None,
        };
        let record = Record {
            channel: channel.clone(),
            private: false,
            sender: UserName::parse("bob").unwrap(),
            client_msg_id: Some(ClientMsgId::parse("c-7").unwrap()),
            digest: body.digest(),
            received_at_ms: 0,
            body,
        };
        let live = live_frame(id, &record).unwrap();
        let sent_at = id.ms();
        let object = format!(
            r#"{{"id":"07303000000000000000","sender":"bob","sent_at":{sent_at},"text":"hi","client_msg_id":"c-7"}}"#
        );
        let frame = format!(r#"{{"type":"message","channel":"ops",{}"#, &object[1..]);
        assert_eq!(live.as_str(), frame);
        assert_eq!(object_in_frame(&channel, &live), object);

        let row = Message {
            id,
            sender: record.sender.clone(),
            text: "hi".into(),
            client_msg_id: record.client_msg_id.clone(),
            n: 1,
            reply_to: None,
            file: None,
            edited_at_ms: None,
            deleted_at_ms: None,
            changed: None,
            reactions: BTreeMap::new(),
        };
        assert_eq!(
            message_frame(&channel, &row, &record.sender).as_str(),
            frame
        );
    }

    #[test]
    fn frames_are_compact_and_carry_the_ref_back() {
        let id = Id::from_u64(5).unwrap();
        let ack = ack(Some(2), id, false, super::super::AckLevel::Accepted);
        assert_eq!(
            ack.as_str(),
            r#"{"type":"ack","ref":2,"id":"00000000000000000005","duplicate":false,"level":"accepted"}"#
        );
        let problem = Problem::new(Code::NotAMember, "Join first.");
        assert_eq!(
            error(None, &problem, About::default()).as_str(),
            r#"{"type":"error","error":{"code":"not_a_member","message":"Join first."}}"#
        );
        assert_eq!(
            closing(Close::ServerShutdown {
                reconnect_after_ms: 7
            })
            .as_str(),
            r#"{"type":"closing","code":4001,"reason":"server_shutdown","reconnect_after_ms":7}"#
        );
    }
}
