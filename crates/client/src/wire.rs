//! JSON objects that occur both in HTTP responses and in frames.

use std::collections::BTreeMap;

use lakechat_core::domain::{Attachment, ChannelName, ClientMsgId, Id, UserName};
use serde::Deserialize;

/// A message, in a frame or in a page of history.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ChatMessage {
    pub id: Id,
    pub sender: UserName,
    /// Milliseconds since 1970.
    pub sent_at: u64,
    pub text: String,
    pub client_msg_id: Option<ClientMsgId>,
    pub reply_to: Option<Id>,
    pub file: Option<Attachment>,
    pub edited_at: Option<u64>,
    /// A deleted message has no text.
    pub deleted_at: Option<u64>,
    /// The id of the last change: a state with a smaller one is older.
    pub changed: Option<Id>,
    /// The number of people by emoji.
    #[serde(default)]
    pub reactions: BTreeMap<String, u64>,
    /// The emojis of the user's own reactions.
    #[serde(default)]
    pub my_reactions: Vec<String>,
}

/// A change of a message. It says what the message is like from then on; what it doesn't mention stays as
/// it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ChatChange {
    /// The change's own id: a state with a smaller one is older.
    pub event: Id,
    /// The message.
    pub id: Id,
    #[serde(flatten)]
    pub kind: ChatChangeKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChatChangeKind {
    Edited {
        text: String,
        edited_at: u64,
    },
    Deleted {
        deleted_at: u64,
    },
    /// `user` has added a reaction, or taken it back.
    Reaction {
        user: UserName,
        emoji: String,
        on: bool,
        /// The number of people by emoji, for all emojis.
        reactions: BTreeMap<String, u64>,
        /// The emojis of the user's own reactions, after an absence in which they may have changed.
        my_reactions: Option<Vec<String>>,
    },
}

/// A channel, in a list or in `welcome`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ChannelInfo {
    pub name: ChannelName,
    pub kind: String,
    pub topic: Option<String>,
    pub state: Option<String>,
    /// The caller's role; None if the caller is not a member.
    pub role: Option<String>,
}

/// A page of messages, oldest first.
#[derive(Clone, Debug, Deserialize)]
pub struct Page {
    pub messages: Vec<ChatMessage>,
    /// The query for the page after this one; None on the last page.
    pub next: Option<String>,
}

/// The `error` object of a response or a frame. `code` is a string, because a newer server may
/// have more codes.
#[derive(Clone, Debug, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    pub code: String,
    #[serde(default)]
    pub message: String,
    pub field: Option<String>,
    pub limit: Option<u64>,
    pub retry_after_ms: Option<u64>,
    pub request_id: Option<String>,
}

/// The body of a response that refuses a request.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub error: Refusal,
}

impl Refusal {
    /// A refusal by this client itself, without a request to the server.
    pub(super) fn own(code: &str, message: impl Into<String>) -> Refusal {
        Refusal {
            code: code.to_owned(),
            message: message.into(),
            field: None,
            limit: None,
            retry_after_ms: None,
            request_id: None,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        const TEMPORARY: [&str; 7] = [
            "rate_limited",
            "broker_unavailable",
            "history_unavailable",
            "directory_unavailable",
            "storage_unavailable",
            "shutting_down",
            "clock_skew",
        ];
        TEMPORARY.contains(&self.code.as_str())
    }
}
