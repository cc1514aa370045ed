//! Messages as history has them, and the rows that the archiver writes.

use std::collections::BTreeMap;

use super::{Attachment, ChannelName, ClientMsgId, Id, Role, UserName};

/// A message in its current state: the original, with the changes that are stored so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: Id,
    pub sender: UserName,
    /// Empty if the message was deleted.
    pub text: String,
    pub client_msg_id: Option<ClientMsgId>,
    /// The number of the message in its channel: 1, 2, 3, … Up to the mark there are no gaps.
    pub n: u64,
    pub reply_to: Option<Id>,
    pub file: Option<Attachment>,
    /// Milliseconds since 1970, like all times below.
    pub edited_at_ms: Option<u64>,
    /// Never reset: a deleted message stays deleted.
    pub deleted_at_ms: Option<u64>,
    /// The id of the latest change. Of two states of a message, the one with the smaller id is
    /// older.
    pub changed: Option<Id>,
    /// By emoji, the users who reacted with it.
    pub reactions: BTreeMap<String, Vec<UserName>>,
}

/// A kind of change to a message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Edit { text: String },
    Delete,
    React { emoji: String, on: bool },
}

impl ChangeKind {
    /// The name in the log and in the `changes` table.
    pub fn as_str(&self) -> &'static str {
        match self {
            ChangeKind::Edit { .. } => "edit",
            ChangeKind::Delete => "delete",
            ChangeKind::React { .. } => "react",
        }
    }
}

/// A change to a message. It is an event with an id of its own, in the order of the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: Id,
    pub target: Id,
    /// The user who made the change.
    pub user: UserName,
    pub kind: ChangeKind,
}

/// The row that the archiver stores for an accepted record. Its cells depend on the log alone, so
/// storing it again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    pub channel: ChannelName,
    /// Whether the channel is private. Rows of private channels can be stored apart, where analysts
    /// have no access.
    pub private: bool,
    pub cells: Cells,
}

/// The cells of a row, by the kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cells {
    Message(Message),
    Change(Change),
    /// From event `id` on, `user` has `role` in the channel. With `joined`, the event's time is
    /// stored as the time of joining.
    Member {
        id: Id,
        user: UserName,
        role: Role,
        joined: bool,
    },
    Topic {
        id: Id,
        topic: String,
    },
    Archived {
        id: Id,
    },
}

impl HistoryRow {
    /// The id of the record that the row was made from.
    pub fn id(&self) -> Id {
        match &self.cells {
            Cells::Message(m) => m.id,
            Cells::Change(c) => c.id,
            Cells::Member { id, .. } | Cells::Topic { id, .. } | Cells::Archived { id } => *id,
        }
    }
}
