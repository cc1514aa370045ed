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

/// How many people have reacted to a message with each emoji; none of the counts is 0.
pub type ReactionCounts = BTreeMap<String, u64>;

impl Message {
    pub fn reaction_counts(&self) -> ReactionCounts {
        let people = self.reactions.iter().filter(|(_, users)| !users.is_empty());
        let counts = people.map(|(emoji, users)| (emoji.clone(), users.len() as u64));
        counts.collect()
    }

    /// The emojis of a user's reactions.
    pub fn reactions_of(&self, user: &UserName) -> impl Iterator<Item = &str> {
        let of_user = self.reactions.iter();
        let of_user = of_user.filter(move |(_, users)| users.contains(user));
        of_user.map(|(emoji, _)| emoji.as_str())
    }

    /// Applies a change. Changes come in the order of the log; one that the message shows already changes
    /// nothing.
    pub fn apply(&mut self, change: &Change) {
        self.changed = self.changed.max(Some(change.id));
        match &change.kind {
            // A deleted message keeps nothing that could be edited.
            ChangeKind::Edit { .. } if self.deleted_at_ms.is_some() => {}
            ChangeKind::Edit { text } => {
                text.clone_into(&mut self.text);
                self.edited_at_ms = Some(change.id.ms());
            }
            ChangeKind::Delete => {
                self.text.clear();
                self.deleted_at_ms = self.deleted_at_ms.max(Some(change.id.ms()));
            }
            ChangeKind::React { emoji, on } => self.react(&change.user, emoji, *on),
        }
    }

    fn react(&mut self, user: &UserName, emoji: &str, on: bool) {
        let users = self.reactions.entry(emoji.to_owned()).or_default();
        users.retain(|other| other != user);
        if on {
            users.push(user.clone());
        }
        if users.is_empty() {
            self.reactions.remove(emoji);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: u64, kind: ChangeKind) -> Change {
        Change {
            id: Id::from_u64(id << 22).expect("small"),
            target: Id::ZERO,
            user: UserName::parse("bob").expect("a name"),
            kind,
        }
    }

    fn edit(id: u64, text: &str) -> Change {
        let text = text.to_owned();
        change(id, ChangeKind::Edit { text })
    }

    fn react(id: u64, on: bool) -> Change {
        let emoji = "👍".to_owned();
        change(id, ChangeKind::React { emoji, on })
    }

    fn changed(changes: &[Change]) -> Message {
        let mut message = Message {
            id: Id::ZERO,
            sender: UserName::parse("ann").expect("a name"),
            text: "as sent".to_owned(),
            client_msg_id: None,
            n: 1,
            reply_to: None,
            file: None,
            edited_at_ms: None,
            deleted_at_ms: None,
            changed: None,
            reactions: BTreeMap::new(),
        };
        changes.iter().for_each(|change| message.apply(change));
        message
    }

    #[test]
    fn changes_apply_in_order_and_again_without_effect() {
        let (first, second) = (edit(1, "first"), edit(2, "second"));
        let once = changed(&[first.clone(), second.clone()]);
        assert_eq!(once.text, "second");
        assert_eq!(once.edited_at_ms, Some(second.id.ms()));
        assert_eq!(once.changed, Some(second.id));
        assert_eq!(
            changed(&[first.clone(), second.clone(), first, second]),
            once
        );
    }

    #[test]
    fn deleted_message_stays_deleted_and_empty() {
        let delete = change(2, ChangeKind::Delete);
        let message = changed(&[edit(1, "first"), delete.clone(), edit(3, "back?")]);
        assert_eq!(message.text, "");
        assert_eq!(message.deleted_at_ms, Some(delete.id.ms()));
    }

    #[test]
    fn reaction_is_one_per_person_and_emoji() {
        let on = changed(&[react(1, true), react(2, true)]);
        assert_eq!(on.reactions["👍"].len(), 1);
        assert!(
            changed(&[react(1, true), react(2, false)])
                .reactions
                .is_empty()
        );
    }
}
