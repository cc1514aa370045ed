//! Messages as they stand in history, and the rows that the archiver writes.

use std::collections::BTreeMap;

use super::{Attachment, ChannelName, ClientMsgId, Id, Role, UserName};

/// A message in the state its row has: the original with the changes stored so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: Id,
    pub sender: UserName,
    /// Empty once deleted.
    pub text: String,
    pub client_msg_id: Option<ClientMsgId>,
    /// The message's number in its channel: 1, 2, 3, … without a gap up to the mark.
    pub n: u64,
    pub reply_to: Option<Id>,
    pub file: Option<Attachment>,
    /// Milliseconds since 1970, as are all times below.
    pub edited_at_ms: Option<u64>,
    /// Set for good: a deleted message stays deleted.
    pub deleted_at_ms: Option<u64>,
    /// The id of the last change; a state with a smaller one is older.
    pub changed: Option<Id>,
    /// Who reacted with what, by emoji.
    pub reactions: BTreeMap<String, Vec<UserName>>,
}

/// What happens to a message after it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Edit { text: String },
    Delete,
    React { emoji: String, on: bool },
}

impl ChangeKind {
    /// The word that stands in the log and in the `changes` table.
    pub fn as_str(&self) -> &'static str {
        match self {
            ChangeKind::Edit { .. } => "edit",
            ChangeKind::Delete => "delete",
            ChangeKind::React { .. } => "react",
        }
    }
}

/// A change of a message: an event with an id of its own in the channel's one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: Id,
    pub target: Id,
    /// Who made it.
    pub user: UserName,
    pub kind: ChangeKind,
}

/// What the archiver stores of one accepted record. A row's cells depend on the log alone, so that
/// writing it again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    pub channel: ChannelName,
    /// Private talk stands apart from what analysts are granted.
    pub private: bool,
    pub cells: Cells,
}

/// The kinds of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cells {
    Message(Message),
    Change(Change),
    /// `user` has `role` in the channel from event `id` on. `joined` stamps the time of joining.
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
    /// The id that the log gave to the record behind this row.
    pub fn id(&self) -> Id {
        match &self.cells {
            Cells::Message(m) => m.id,
            Cells::Change(c) => c.id,
            Cells::Member { id, .. } | Cells::Topic { id, .. } | Cells::Archived { id } => *id,
        }
    }
}
