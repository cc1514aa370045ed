//! The format of a log record, version 1. It is a contract with every later release and with
//! stream processors that read the topic.

mod digest;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

pub use self::digest::Digest;
use crate::domain::{Attachment, ChannelName, ClientMsgId, Id, ReactionCounts, Role, UserName};

/// The version that this release writes, and the newest one that it reads.
pub const VERSION: u64 = 1;

/// One change of a channel, as a server publishes it. The fold gives it an id and a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub channel: ChannelName,
    /// Whether the channel is private or direct. History keeps the rows of such channels apart.
    pub private: bool,
    pub sender: UserName,
    /// Identifies retries. A record without it is never a repeat.
    pub client_msg_id: Option<ClientMsgId>,
    /// The digest of the content that the sender sent, before any masking.
    pub digest: Digest,
    /// When a server received the send, by that server's clock, ms since 1970.
    pub received_at_ms: u64,
    pub body: Body,
}

/// The change that a record makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Message {
        text: String,
        reply_to: Option<Id>,
        file: Option<Attachment>,
    },
    Edit {
        target: Id,
        text: String,
    },
    Delete {
        target: Id,
    },
    React {
        target: Id,
        emoji: String,
        on: bool,
        /// From the server that took the reaction; it decides nothing.
        before: Option<ReactionsBefore>,
    },
    Member {
        user: UserName,
        role: Role,
    },
    Topic {
        topic: String,
    },
    Archive,
}

/// The reactions of a message as the server that publishes another one found them. By them, every server
/// knows the counts that result, without a look at the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionsBefore {
    /// It had folded everything up to here.
    pub at: Id,
    /// The number of people by emoji.
    pub counts: ReactionCounts,
    /// Whether this reaction was on.
    pub had: bool,
}

impl Body {
    /// The value of the record's `kind` field.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Message { .. } => "message",
            Body::Edit { .. } => "edit",
            Body::Delete { .. } => "delete",
            Body::React { .. } => "react",
            Body::Member { .. } => "member",
            Body::Topic { .. } => "topic",
            Body::Archive => "archive",
        }
    }

    /// Whether it is an event of the channel itself, which its roster applies.
    pub fn changes_roster(&self) -> bool {
        match self {
            Body::Member { .. } | Body::Topic { .. } | Body::Archive => true,
            Body::Message { .. } | Body::Edit { .. } | Body::Delete { .. } | Body::React { .. } => {
                false
            }
        }
    }

    /// The message that an edit, delete or reaction changes.
    pub fn target(&self) -> Option<Id> {
        match self {
            Body::Edit { target, .. } | Body::Delete { target } | Body::React { target, .. } => {
                Some(*target)
            }
            Body::Message { .. } | Body::Member { .. } | Body::Topic { .. } | Body::Archive => None,
        }
    }
}

/// Why a value of the log can't be decoded as a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value breaks the rules of version 1. They are frozen, so every reader ignores it.
    #[error("unreadable: {0}")]
    Unreadable(&'static str),
    /// A newer release wrote the value. This release can't decide about it.
    #[error("version {0} of the record is newer than this release reads")]
    Newer(u64),
}

/// The fields of the JSON object, in the order in which they are written.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    v: u64,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    channel: Cow<'a, str>,
    private: bool,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    client_msg_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    received_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Id>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_to: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Attachment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    emoji: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<bool>,
    /// Any value: a record is readable whatever it holds.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    before: Option<Cow<'a, RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
}

impl Record {
    /// Encodes the value of the log's record. Its key is the channel's name.
    pub fn encode(&self) -> Vec<u8> {
        let mut wire = Wire {
            v: VERSION,
            kind: self.body.kind().into(),
            channel: self.channel.as_str().into(),
            private: self.private,
            sender: self.sender.as_str().into(),
            client_msg_id: self.client_msg_id.as_ref().map(|c| c.as_str().into()),
            digest: Some(self.digest.to_string()),
            received_at: self.received_at_ms,
            target: self.body.target(),
            text: None,
            reply_to: None,
            file: None,
            emoji: None,
            on: None,
            before: None,
            user: None,
            role: None,
            topic: None,
        };
        match &self.body {
            Body::Message {
                text,
                reply_to,
                file,
            } => {
                wire.text = Some(text.as_str().into());
                wire.reply_to = *reply_to;
                wire.file = file.clone();
            }
            Body::Edit { text, .. } => wire.text = Some(text.as_str().into()),
            Body::Delete { .. } | Body::Archive => {}
            Body::React {
                emoji, on, before, ..
            } => {
                wire.emoji = Some(emoji.clone());
                wire.on = Some(*on);
                wire.before = before.as_ref().map(|before| {
                    let raw = serde_json::value::to_raw_value(before);
                    Cow::Owned(raw.expect("ids, texts and numbers are JSON"))
                });
            }
            Body::Member { user, role } => {
                wire.user = Some(user.clone());
                wire.role = Some(*role);
            }
            Body::Topic { topic } => wire.topic = Some(topic.clone()),
        }
        serde_json::to_vec(&wire).expect("a record's fields are always JSON")
    }

    /// Decodes a value of the log and checks that its key is the channel's name.
    ///
    /// The rules are frozen: a release that accepts or rejects one value differently would mint
    /// different ids.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Record, DecodeError> {
        let unreadable = DecodeError::Unreadable;
        let wire: Wire<'_> = match serde_json::from_slice(value) {
            Ok(wire) => wire,
            Err(_) => return Err(newer(value).unwrap_or(unreadable("not a version 1 object"))),
        };
        if wire.v > VERSION {
            return Err(DecodeError::Newer(wire.v));
        }
        if wire.v != VERSION {
            return Err(unreadable("v"));
        }
        if wire.channel.as_bytes() != key {
            return Err(unreadable("the key is not the channel"));
        }
        let client_msg_id = match wire.client_msg_id.as_deref() {
            Some(c) => Some(ClientMsgId::parse(c).map_err(|_| unreadable("client_msg_id"))?),
            None => None,
        };
        let body = body(wire.kind.as_ref(), &wire).ok_or(unreadable("kind or its fields"))?;
        let digest = wire
            .digest
            .as_deref()
            .and_then(Digest::parse)
            .ok_or(unreadable("digest"))?;
        Ok(Record {
            channel: ChannelName::parse(&wire.channel).map_err(|_| unreadable("channel"))?,
            private: wire.private,
            sender: UserName::parse(&wire.sender).map_err(|_| unreadable("sender"))?,
            client_msg_id,
            digest,
            received_at_ms: wire.received_at,
            body,
        })
    }
}

fn body(kind: &str, wire: &Wire<'_>) -> Option<Body> {
    let text = || wire.text.as_deref().map(str::to_owned);
    Some(match kind {
        "message" => Body::Message {
            text: text()?,
            reply_to: wire.reply_to,
            file: wire.file.clone(),
        },
        "edit" => Body::Edit {
            target: wire.target?,
            text: text()?,
        },
        "delete" => Body::Delete {
            target: wire.target?,
        },
        "react" => Body::React {
            target: wire.target?,
            emoji: wire.emoji.clone()?,
            on: wire.on?,
            before: wire
                .before
                .as_ref()
                .and_then(|before| serde_json::from_str(before.get()).ok()),
        },
        "member" => Body::Member {
            user: wire.user.clone()?,
            role: wire.role?,
        },
        "topic" => Body::Topic {
            topic: wire.topic.clone()?,
        },
        "archive" => Body::Archive,
        _ => return None,
    })
}

/// Returns [`DecodeError::Newer`] if the value is of a newer version. A newer version shares only
/// the field `v` with version 1.
fn newer(value: &[u8]) -> Option<DecodeError> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    let version = serde_json::from_slice::<Version>(value).ok()?.v;
    (version > VERSION).then_some(DecodeError::Newer(version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::FileId;

    fn record(body: Body) -> Record {
        Record {
            channel: ChannelName::parse("ops").unwrap(),
            private: false,
            sender: UserName::parse("ann").unwrap(),
            client_msg_id: Some(ClientMsgId::parse("c-1").unwrap()),
            digest: body.digest(),
            received_at_ms: 1_795_470_000_000,
            body,
        }
    }

    fn bodies() -> Vec<Body> {
        let id = Id::from_u64(77).unwrap();
        let file = Attachment {
            id: FileId::random(),
            name: "a\"b".into(),
            size: 3,
            media_type: "text/plain".into(),
        };
        vec![
            Body::Message {
                text: "hi\n\"ü\" 👍".into(),
                reply_to: None,
                file: None,
            },
            Body::Message {
                text: String::new(),
                reply_to: Some(id),
                file: Some(file),
            },
            Body::Edit {
                target: id,
                text: "x".into(),
            },
            Body::Delete { target: id },
            Body::React {
                target: id,
                emoji: "👍".into(),
                on: true,
                before: Some(ReactionsBefore {
                    at: id,
                    counts: ReactionCounts::from([("👍".into(), 2)]),
                    had: false,
                }),
            },
            Body::Member {
                user: UserName::parse("bob").unwrap(),
                role: Role::Admin,
            },
            Body::Topic { topic: "t".into() },
            Body::Archive,
        ]
    }

    #[test]
    fn every_kind_comes_back_as_it_went() {
        for body in bodies() {
            let r = record(body);
            assert_eq!(Record::decode(b"ops", &r.encode()), Ok(r));
        }
    }

    /// A record is judged by the digest that it was written with, whatever this release computes.
    #[test]
    fn a_written_digest_is_kept() {
        let mut r = record(Body::Topic { topic: "t".into() });
        r.digest = Digest(0xb080_0bfa_1b59_32e0);
        let decoded = Record::decode(b"ops", &r.encode()).unwrap();
        assert_eq!(decoded.digest.to_string(), "b0800bfa1b5932e0");
    }

    #[test]
    fn the_value_is_the_documented_text() {
        let r = record(Body::Message {
            text: "hi".into(),
            reply_to: None,
            file: None,
        });
        let expected = format!(
            r#"{{"v":1,"kind":"message","channel":"ops","private":false,"sender":"ann","client_msg_id":"c-1","digest":"{}","received_at":1795470000000,"text":"hi"}}"#,
            r.digest
        );
        assert_eq!(String::from_utf8(r.encode()).unwrap(), expected);
    }

    #[test]
    fn what_is_no_record_is_unreadable_and_what_is_newer_is_not() {
        let good = String::from_utf8(record(Body::Archive).encode()).unwrap();
        for (from, to) in [
            (r#""v":1"#, r#""v":0"#),
            (r#""v":1"#, r#""v":"1""#),
            (r#""private":false,"#, ""),
            (r#""kind":"archive""#, r#""kind":"party""#),
            (r#""kind":"archive""#, r#""kind":"topic""#),
            (r#""sender":"ann""#, r#""sender":"Ann""#),
            (r#""client_msg_id":"c-1""#, r#""client_msg_id":"""#),
            (r#""channel":"ops""#, r#""channel":"dev""#),
            ("{", ""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            let found = Record::decode(b"ops", bad.as_bytes());
            assert!(
                matches!(found, Err(DecodeError::Unreadable(_))),
                "{bad}: {found:?}"
            );
        }
        assert!(Record::decode(b"ops", b"\xff\xfe").is_err());
        assert_eq!(
            Record::decode(b"ops", br#"{"v":2,"x":[]}"#),
            Err(DecodeError::Newer(2))
        );
    }

    #[test]
    fn reaction_is_readable_whatever_the_counts_before_are() {
        let target = Id::from_u64(77).unwrap();
        let (emoji, on) = ("👍".to_owned(), true);
        let r = record(Body::React {
            target,
            emoji,
            on,
            before: None,
        });
        for odd in ["1", "[]", r#"{"at":7}"#, "null"] {
            let field = format!(r#"{{"before":{odd},"#);
            let text = String::from_utf8(r.encode()).unwrap();
            let text = text.replacen('{', &field, 1);
            assert_eq!(Record::decode(b"ops", text.as_bytes()).as_ref(), Ok(&r));
        }
    }

    #[test]
    fn unknown_fields_change_nothing() {
        let r = record(Body::Archive);
        let text = String::from_utf8(r.encode())
            .unwrap()
            .replacen('{', r#"{"later":[1],"#, 1);
        assert_eq!(Record::decode(b"ops", text.as_bytes()), Ok(r));
    }
}
