//! Frames to one client, and the JSON objects that HTTP responses share with them.

use serde::Serialize;

use super::close::Close;
use super::{Frame, Ref};
use crate::domain::{ChannelName, Id, Problem, UserName};

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
        Frame::encode(self).size_bytes()
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
    Frame::encode(&Typed {
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
    use crate::domain::Code;

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
