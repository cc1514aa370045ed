//! Messages in frames and in pages of history.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Frame, events};
use crate::chat::log::record::{Body, Record};
use crate::domain::{Attachment, ChannelName, Id, Message, UserName};

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
    Some(Frame::encode(&MessageFrame {
        r#type: "message",
        channel: record.channel.as_str(),
        message,
    }))
}

/// The frame that delivers a message in its current state.
pub fn message_frame(channel: &ChannelName, message: &Message, reader: &UserName) -> Frame {
    let message = MessageObject::of(message, reader);
    Frame::encode(&MessageFrame {
        r#type: "message",
        channel: channel.as_str(),
        message,
    })
}

/// Extracts the message object from the [`live_frame`] of a message.
pub fn object_in_frame(channel: &ChannelName, frame: &Frame) -> String {
    // Serialized above in this order. A channel name has no characters that JSON escapes.
    let head = format!(r#"{{"type":"message","channel":"{channel}","#);
    let fields = frame.as_str().strip_prefix(&*head);
    let fields = fields.expect("the frame of a message of this channel");
    format!("{{{fields}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ClientMsgId;

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
}
