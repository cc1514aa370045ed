//! JSON objects that HTTP answers and frames have in common.

use lakechat_core::domain::{Attachment, ChannelName, ClientMsgId, Id, UserName};
use serde::Deserialize;

/// A message as the wire has it, in frames and in history.
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
}

/// A channel as the wire has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ChannelInfo {
    pub name: ChannelName,
    pub kind: String,
    pub topic: Option<String>,
    pub state: Option<String>,
    /// For members only.
    pub role: Option<String>,
}

/// A page of messages, oldest first.
#[derive(Clone, Debug, Deserialize)]
pub struct Page {
    pub messages: Vec<ChatMessage>,
    /// What asks for the page behind this one; none at the end.
    pub next: Option<String>,
}

/// The `error` object of an answer or a frame. Codes are text here: a newer server may have more.
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

impl Refusal {
    /// One that this client makes itself, without asking the server.
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

    /// Whether the same request may be taken later.
    pub fn is_passing(&self) -> bool {
        const PASSING: [&str; 7] = [
            "rate_limited",
            "broker_unavailable",
            "history_unavailable",
            "directory_unavailable",
            "storage_unavailable",
            "shutting_down",
            "clock_skew",
        ];
        PASSING.contains(&self.code.as_str())
    }
}
