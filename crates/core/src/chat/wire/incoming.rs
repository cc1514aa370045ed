//! Frames from clients.

use std::borrow::Cow;

use crate::chat::wire::emoji::emoji;
use crate::domain::{ChangeKind, ClientMsgId, Code, FileId, Id, Problem};
use crate::json_object::{JsonObject, field_invalid, field_missing};

/// The client's number for its request, if it gave one. Every answer returns it unchanged.
pub type Ref = Option<i64>;

/// A client's frame: its `ref` and its request.
#[derive(Debug)]
pub struct Incoming<'a> {
    pub r#ref: Ref,
    pub request: Result<Request<'a>, Problem>,
}

/// A client's request. Channel names are not parsed here: a string that isn't a valid name is
/// answered like the name of a channel that doesn't exist.
#[derive(Debug)]
pub enum Request<'a> {
    Hello { token: Cow<'a, str> },
    Refresh { token: Cow<'a, str> },
    Join(Join<'a>),
    Leave { channel: Cow<'a, str> },
    Send(SendRequest<'a>),
    Change(ChangeRequest<'a>),
    History(PageRequest<'a>),
    Channels(ChannelsRequest<'a>),
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

/// A change of the message `id`.
#[derive(Debug)]
pub struct ChangeRequest<'a> {
    pub channel: Cow<'a, str>,
    pub id: Id,
    pub client_msg_id: Option<ClientMsgId>,
    pub kind: ChangeKind,
}

/// The condition for acking a send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckLevel {
    /// The message is in the log.
    #[default]
    Accepted,
    /// The message is in history.
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

/// A request for a page of history. The channel and the cursor are not parsed here.
#[derive(Debug)]
pub struct PageRequest<'a> {
    pub channel: Cow<'a, str>,
    pub before: Option<Id>,
    pub after: Option<Id>,
    pub around: Option<Id>,
    pub cursor: Option<Cow<'a, str>>,
    pub limit: Option<u64>,
}

/// A request for a page of the user's channels. The name is not parsed here.
#[derive(Debug)]
pub struct ChannelsRequest<'a> {
    pub after: Option<Cow<'a, str>>,
    pub limit: Option<u64>,
}

/// Describes the values of a `ref` in error messages: the range of an `i64`.
const REF_ALLOWED: &str = "a whole number from -9223372036854775808 to 9223372036854775807";

/// The fields of all frames. Others are ignored, so that older servers can serve newer clients.
const FIELDS: [&str; 17] = [
    "type",
    "ref",
    "token",
    "channel",
    "id",
    "after",
    "before",
    "around",
    "cursor",
    "limit",
    "text",
    "client_msg_id",
    "reply_to",
    "file_id",
    "ack",
    "emoji",
    "on",
];

type Fields<'a> = JsonObject<'a, 17>;

impl<'a> Incoming<'a> {
    /// Parses a text frame. A frame that isn't a JSON object gives an error without a `ref`.
    pub fn parse(frame: &'a str) -> Incoming<'a> {
        let object = Fields::from_str(frame, &FIELDS).ok();
        let Some(mut fields) = object.filter(|fields| !fields.has_repeated()) else {
            let text = "A frame must be one JSON object in a text frame, without repeated names \
                        or lone surrogates.";
            return Incoming {
                r#ref: None,
                request: Err(Problem::new(Code::BadFrame, text)),
            };
        };
        match fields.optional_integer("ref", REF_ALLOWED) {
            Ok(r#ref) => Incoming {
                r#ref,
                request: Request::from_fields(&mut fields),
            },
            Err(problem) => Incoming {
                r#ref: None,
                request: Err(problem),
            },
        }
    }
}

impl<'a> Request<'a> {
    fn from_fields(fields: &mut Fields<'a>) -> Result<Request<'a>, Problem> {
        let kind = fields.required_str("type")?;
        Ok(match &*kind {
            "hello" => Request::Hello {
                token: fields.required_str("token")?,
            },
            "refresh" => Request::Refresh {
                token: fields.required_str("token")?,
            },
            "join" => Request::Join(Join {
                channel: fields.required_str("channel")?,
                after: fields.optional_id("after")?,
            }),
            "leave" => Request::Leave {
                channel: fields.required_str("channel")?,
            },
            "send" => Request::Send(SendRequest {
                channel: fields.required_str("channel")?,
                client_msg_id: required_client_msg_id(fields)?,
                reply_to: fields.optional_id("reply_to")?,
                file_id: file_id(fields)?,
                level: level(fields)?,
                text: fields.optional_str("text")?.unwrap_or_default(),
            }),
            "edit" => Request::Change(ChangeRequest::from_fields(fields, |fields| {
                let text = fields.required_str("text")?.into_owned();
                Ok(ChangeKind::Edit { text })
            })?),
            "delete" => {
                let delete = |_: &mut Fields<'a>| Ok(ChangeKind::Delete);
                Request::Change(ChangeRequest::from_fields(fields, delete)?)
            }
            "react" => {
                let react = |fields: &mut Fields<'a>| {
                    Ok(ChangeKind::React {
                        emoji: emoji(&fields.required_str("emoji")?)?,
                        on: fields.optional_bool("on")?.unwrap_or(true),
                    })
                };
                Request::Change(ChangeRequest::from_fields(fields, react)?)
            }
            "history" => Request::History(PageRequest {
                channel: fields.required_str("channel")?,
                before: fields.optional_id("before")?,
                after: fields.optional_id("after")?,
                around: fields.optional_id("around")?,
                cursor: fields.optional_str("cursor")?,
                limit: fields.optional_integer("limit", "a whole number from 0")?,
            }),
            "channels" => Request::Channels(ChannelsRequest {
                after: fields.optional_str("after")?,
                limit: fields.optional_integer("limit", "a whole number from 0")?,
            }),
            _ => {
                let text = "This server knows hello, refresh, join, leave, send, edit, delete, \
                            react, history and channels.";
                return Err(Problem::new(Code::UnknownType, text).field("type"));
            }
        })
    }
}

impl<'a> ChangeRequest<'a> {
    fn from_fields(
        fields: &mut Fields<'a>,
        kind: impl FnOnce(&mut Fields<'a>) -> Result<ChangeKind, Problem>,
    ) -> Result<ChangeRequest<'a>, Problem> {
        Ok(ChangeRequest {
            channel: fields.required_str("channel")?,
            id: fields
                .optional_id("id")?
                .ok_or_else(|| field_missing("id"))?,
            client_msg_id: client_msg_id(fields)?,
            kind: kind(fields)?,
        })
    }
}

fn required_client_msg_id(fields: &mut Fields<'_>) -> Result<ClientMsgId, Problem> {
    client_msg_id(fields)?.ok_or_else(|| field_missing("client_msg_id"))
}

fn client_msg_id(fields: &mut Fields<'_>) -> Result<Option<ClientMsgId>, Problem> {
    let text = fields.optional_str("client_msg_id")?;
    text.as_deref().map(parse_client_msg_id).transpose()
}

/// Parses the field `client_msg_id`.
pub fn parse_client_msg_id(text: &str) -> Result<ClientMsgId, Problem> {
    ClientMsgId::parse(text)
        .map_err(|_| field_invalid("client_msg_id", "1 to 64 printable ASCII characters").limit(64))
}

fn file_id(fields: &mut Fields<'_>) -> Result<Option<FileId>, Problem> {
    let text = fields.optional_str("file_id")?;
    text.as_deref().map(parse_file_id).transpose()
}

/// Parses the field `file_id`.
pub fn parse_file_id(text: &str) -> Result<FileId, Problem> {
    let parsed = FileId::parse_given(text);
    parsed.ok_or_else(|| field_invalid("file_id", "the id that the upload returned"))
}

fn level(fields: &mut Fields<'_>) -> Result<AckLevel, Problem> {
    parse_ack_level(fields.optional_str("ack")?.as_deref())
}

/// Parses the field `ack`.
pub fn parse_ack_level(text: Option<&str>) -> Result<AckLevel, Problem> {
    match text {
        None | Some("accepted") => Ok(AckLevel::Accepted),
        Some("persisted") => Ok(AckLevel::Persisted),
        Some(_) => Err(field_invalid("ack", "accepted or persisted")),
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
            r#"{"type":"leave","channel":"a","later":["\ud800"]}"#,
            r#"{"ref":1,"ref":2}"#,
            "[]",
            r#"["join",1,null,"a"]"#,
            r#"[{"type":"leave","channel":"a"}]"#,
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
