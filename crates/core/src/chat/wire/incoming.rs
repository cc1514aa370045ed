//! Frames from clients.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::domain::{ClientMsgId, Code, FileId, Id, Problem};

/// The client's number for its request, if it gave one: each answer carries it back as it came.
pub type Ref = Option<i64>;

/// A frame: the client's number for it, and what it asks for.
#[derive(Debug)]
pub struct Incoming<'a> {
    pub r#ref: Ref,
    pub request: Result<Request<'a>, Problem>,
}

/// What a client may ask for. Names of channels are not parsed yet: one that can't be a name is a
/// channel that does not exist.
#[derive(Debug)]
pub enum Request<'a> {
    Hello { token: Cow<'a, str> },
    Refresh { token: Cow<'a, str> },
    Join(Join<'a>),
    Leave { channel: Cow<'a, str> },
    Send(SendRequest<'a>),
    History(PageRequest<'a>),
}

#[derive(Debug)]
pub struct Join<'a> {
    pub channel: Cow<'a, str>,
    pub after: Option<Id>,
}

#[derive(Debug)]
pub struct SendRequest<'a> {
    pub channel: Cow<'a, str>,
    pub text: Cow<'a, str>,
    pub client_msg_id: ClientMsgId,
    pub reply_to: Option<Id>,
    pub file_id: Option<FileId>,
    pub level: AckLevel,
}

/// When a send is acked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckLevel {
    /// The log has it.
    #[default]
    Accepted,
    /// History has it.
    Persisted,
}

impl AckLevel {
    pub fn as_str(self) -> &'static str {
        match self {
            AckLevel::Accepted => "accepted",
            AckLevel::Persisted => "persisted",
        }
    }
}

/// Which page of history: the texts as they came, for HTTP has the same.
#[derive(Debug)]
pub struct PageRequest<'a> {
    pub channel: Cow<'a, str>,
    pub before: Option<Id>,
    pub after: Option<Id>,
    pub around: Option<Id>,
    pub cursor: Option<Cow<'a, str>>,
    pub limit: Option<u64>,
}

/// What a `ref` may be, for a person: `i64`.
const REF_ALLOWED: &str = "a whole number from -9223372036854775808 to 9223372036854775807";

/// All fields that any frame has; others are ignored, so that older servers serve newer clients.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Value<'a>,
    #[serde(borrow, default, rename = "ref")]
    reference: Value<'a>,
    #[serde(borrow, default)]
    token: Value<'a>,
    #[serde(borrow, default)]
    channel: Value<'a>,
    #[serde(borrow, default)]
    after: Value<'a>,
    #[serde(borrow, default)]
    before: Value<'a>,
    #[serde(borrow, default)]
    around: Value<'a>,
    #[serde(borrow, default)]
    cursor: Value<'a>,
    #[serde(borrow, default)]
    limit: Value<'a>,
    #[serde(borrow, default)]
    text: Value<'a>,
    #[serde(borrow, default)]
    client_msg_id: Value<'a>,
    #[serde(borrow, default)]
    reply_to: Value<'a>,
    #[serde(borrow, default)]
    file_id: Value<'a>,
    #[serde(borrow, default)]
    ack: Value<'a>,
}

impl<'a> Incoming<'a> {
    /// Reads a text frame. One that is no JSON object has no `ref` to answer to.
    pub fn parse(frame: &'a str) -> Incoming<'a> {
        match serde_json::from_str::<Fields<'_>>(frame) {
            Ok(fields) => fields.into_incoming(),
            Err(_) => {
                let text = "A frame is one JSON object in a text frame, with no name twice and no \
                            lone surrogates.";
                Incoming {
                    r#ref: None,
                    request: Err(Problem::new(Code::BadFrame, text)),
                }
            }
        }
    }
}

impl<'a> Fields<'a> {
    fn into_incoming(self) -> Incoming<'a> {
        match self.reference {
            Value::Absent => Incoming {
                r#ref: None,
                request: self.into_request(),
            },
            Value::Number(n) if let Ok(n) = i64::try_from(n) => Incoming {
                r#ref: Some(n),
                request: self.into_request(),
            },
            _ => Incoming {
                r#ref: None,
                request: Err(invalid("ref", REF_ALLOWED)),
            },
        }
    }

    fn into_request(self) -> Result<Request<'a>, Problem> {
        let kind = self.kind.required("type")?;
        Ok(match &*kind {
            "hello" => Request::Hello {
                token: self.token.required("token")?,
            },
            "refresh" => Request::Refresh {
                token: self.token.required("token")?,
            },
            "join" => Request::Join(Join {
                channel: self.channel.required("channel")?,
                after: self.after.id("after")?,
            }),
            "leave" => Request::Leave {
                channel: self.channel.required("channel")?,
            },
            "send" => Request::Send(SendRequest {
                channel: self.channel.required("channel")?,
                client_msg_id: client_msg_id(self.client_msg_id)?,
                reply_to: self.reply_to.id("reply_to")?,
                file_id: file_id(self.file_id)?,
                level: level(self.ack)?,
                text: self.text.optional("text")?.unwrap_or_default(),
            }),
            "history" => Request::History(PageRequest {
                channel: self.channel.required("channel")?,
                before: self.before.id("before")?,
                after: self.after.id("after")?,
                around: self.around.id("around")?,
                cursor: self.cursor.optional("cursor")?,
                limit: self.limit.number("limit")?,
            }),
            _ => {
                let text = "This server knows hello, refresh, join, leave, send and history.";
                return Err(Problem::new(Code::UnknownType, text).field("type"));
            }
        })
    }
}

fn client_msg_id(value: Value<'_>) -> Result<ClientMsgId, Problem> {
    let text = value.required("client_msg_id")?;
    ClientMsgId::parse(&text)
        .map_err(|_| invalid("client_msg_id", "1 to 64 printable ASCII characters").limit(64))
}

fn file_id(value: Value<'_>) -> Result<Option<FileId>, Problem> {
    let Some(text) = value.optional("file_id")? else {
        return Ok(None);
    };
    let parsed = FileId::parse(&text);
    parsed
        .map(Some)
        .ok_or_else(|| invalid("file_id", "the id of an upload, as it was given"))
}

fn level(value: Value<'_>) -> Result<AckLevel, Problem> {
    match value.optional("ack")?.as_deref() {
        None | Some("accepted") => Ok(AckLevel::Accepted),
        Some("persisted") => Ok(AckLevel::Persisted),
        Some(_) => Err(invalid("ack", "accepted or persisted")),
    }
}

fn invalid(field: &'static str, allowed: &str) -> Problem {
    Problem::new(Code::FieldInvalid, format!("{field} has to be {allowed}.")).field(field)
}

/// A field's value as far as frames have use for it: reading it never fails, so that a wrong one is
/// answered by its name.
#[derive(Debug, Default)]
enum Value<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    Text(Cow<'a, str>),
    /// A whole number that `u64` or `i64` has room for.
    Number(i128),
    Other,
}

impl<'a> Value<'a> {
    fn optional(self, field: &'static str) -> Result<Option<Cow<'a, str>>, Problem> {
        match self {
            Value::Absent => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Number(_) | Value::Other => Err(invalid(field, "a string")),
        }
    }

    fn required(self, field: &'static str) -> Result<Cow<'a, str>, Problem> {
        self.optional(field)?.ok_or_else(|| {
            Problem::new(Code::FieldMissing, format!("{field} is missing.")).field(field)
        })
    }

    fn id(self, field: &'static str) -> Result<Option<Id>, Problem> {
        let Some(text) = self.optional(field)? else {
            return Ok(None);
        };
        let parsed = text.parse().map(Some);
        parsed.map_err(|_| invalid(field, "an id: a string of 1 to 20 decimal digits"))
    }

    fn number(self, field: &'static str) -> Result<Option<u64>, Problem> {
        match self {
            Value::Absent => Ok(None),
            Value::Number(n) if let Ok(n) = u64::try_from(n) => Ok(Some(n)),
            _ => Err(invalid(field, "a whole number from 0")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: de::Deserializer<'de>>(d: D) -> Result<Value<'a>, D::Error> {
        d.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(s)))
    }

    fn visit_str<E>(self, s: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(s.to_owned())))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(n.into()))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(n.into()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(frame: &str) -> (Ref, Code, Option<String>) {
        let incoming = Incoming::parse(frame);
        let problem = incoming.request.expect_err(frame);
        (
            incoming.r#ref,
            problem.code,
            problem.field.map(|f| f.into_owned()),
        )
    }

    #[test]
    fn a_send_is_read_whole() {
        let frame = r#"{"type":"send","ref":2,"channel":"ops","text":"a\"b","client_msg_id":"c 1","reply_to":"12","ack":"persisted","later":{"x":[1]}}"#;
        let incoming = Incoming::parse(frame);
        assert_eq!(incoming.r#ref, Some(2));
        let Ok(Request::Send(send)) = incoming.request else {
            panic!("{incoming:?}")
        };
        assert_eq!((&*send.channel, &*send.text), ("ops", "a\"b"));
        assert_eq!(send.reply_to, Id::from_u64(12));
        assert_eq!(send.level, AckLevel::Persisted);
    }

    #[test]
    fn what_is_no_object_is_a_bad_frame() {
        for bad in [
            "",
            "{",
            "7",
            "null",
            r#"{"type":"send","text":"\ud800"}"#,
            r#"{"ref":1,"ref":2}"#,
        ] {
            assert_eq!(code(bad), (None, Code::BadFrame, None), "{bad}");
        }
    }

    #[test]
    fn a_wrong_field_is_answered_by_its_name_and_ref() {
        for (frame, wanted, field) in [
            (r#"{"ref":1}"#, Code::FieldMissing, "type"),
            (r#"{"ref":1,"type":"dance"}"#, Code::UnknownType, "type"),
            (r#"{"ref":1,"type":"join"}"#, Code::FieldMissing, "channel"),
            (
                r#"{"ref":1,"type":"join","channel":7}"#,
                Code::FieldInvalid,
                "channel",
            ),
            (
                r#"{"ref":1,"type":"join","channel":"a","after":"x"}"#,
                Code::FieldInvalid,
                "after",
            ),
            (
                r#"{"ref":1,"type":"send","channel":"a"}"#,
                Code::FieldMissing,
                "client_msg_id",
            ),
            (
                r#"{"ref":1,"type":"send","channel":"a","client_msg_id":"é"}"#,
                Code::FieldInvalid,
                "client_msg_id",
            ),
            (
                r#"{"ref":1,"type":"send","channel":"a","client_msg_id":"c","ack":"maybe"}"#,
                Code::FieldInvalid,
                "ack",
            ),
            (
                r#"{"ref":1,"type":"send","channel":"a","client_msg_id":"c","file_id":"x"}"#,
                Code::FieldInvalid,
                "file_id",
            ),
            (
                r#"{"ref":1,"type":"history","channel":"a","limit":-1}"#,
                Code::FieldInvalid,
                "limit",
            ),
        ] {
            assert_eq!(
                code(frame),
                (Some(1), wanted, Some(field.to_owned())),
                "{frame}"
            );
        }
    }

    #[test]
    fn a_ref_is_any_integer_of_64_bits_and_another_is_answered_by_name() {
        for good in [0, -1, i64::MIN, i64::MAX] {
            let frame = format!(r#"{{"type":"leave","channel":"a","ref":{good}}}"#);
            assert_eq!(Incoming::parse(&frame).r#ref, Some(good));
        }
        for odd in [
            r#""1""#,
            "1.5",
            "true",
            "[1]",
            "9223372036854775808",
            "-9223372036854775809",
            "100000000000000000000",
        ] {
            let frame = format!(r#"{{"type":"leave","channel":"a","ref":{odd}}}"#);
            let incoming = Incoming::parse(&frame);
            let problem = incoming.request.expect_err(odd);
            assert_eq!((incoming.r#ref, problem.code), (None, Code::FieldInvalid));
            assert_eq!(problem.field.as_deref(), Some("ref"));
            assert!(problem.message.contains(REF_ALLOWED), "{problem}");
        }
    }
}
