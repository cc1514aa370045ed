//! What the log says about a message: the original, with the changes that were folded so far.

use std::collections::BTreeMap;

use crate::domain::{Change, ChangeKind, Message, UserName};

/// A message as its row has to be. Of one that is older than what is compared, only what its changes say
/// is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    original: Option<Message>,
    changes: Changes,
}

#[derive(Clone, Debug, Default)]
struct Changes {
    last: Option<Change>,
    /// The text of the last edit, and its time.
    edited: Option<(String, u64)>,
    deleted_at_ms: Option<u64>,
    reactions: BTreeMap<(String, UserName), bool>,
}

impl Expected {
    pub fn original(message: Message) -> Expected {
        Expected {
            original: Some(message),
            changes: Changes::default(),
        }
    }

    /// Applies a change. Changes come in the order of the log.
    pub fn apply(&mut self, change: &Change) {
        let changes = &mut self.changes;
        match &change.kind {
            ChangeKind::Edit { text } => changes.edited = Some((text.clone(), change.id.ms())),
            ChangeKind::Delete => changes.deleted_at_ms = Some(change.id.ms()),
            ChangeKind::React { emoji, on } => {
                let of = (emoji.clone(), change.user.clone());
                changes.reactions.insert(of, *on);
            }
        }
        changes.last = Some(change.clone());
    }

    /// The last change that was applied.
    pub fn last_change(&self) -> Option<&Change> {
        self.changes.last.as_ref()
    }

    /// Estimated memory use, in bytes.
    pub fn bytes(&self) -> usize {
        let text = self.original.as_ref().map_or(0, |m| m.text.len());
        let edited = self
            .changes
            .edited
            .as_ref()
            .map_or(0, |(text, _)| text.len());
        size_of::<Expected>() + 128 + text + edited + 128 * self.changes.reactions.len()
    }

    /// The fields of a row that differ from what was sent, whatever changes the row shows.
    pub fn unchangeable_differences(&self, row: &Message) -> Vec<&'static str> {
        let mut differences = Vec::new();
        if let Some(original) = &self.original {
            let mut check = |is_equal: bool, name| {
                if !is_equal {
                    differences.push(name);
                }
            };
            check(original.sender == row.sender, "sender");
            check(original.client_msg_id == row.client_msg_id, "client_msg_id");
            check(original.reply_to == row.reply_to, "reply_to");
            check(original.file == row.file, "file");
            let is_changed = row.edited_at_ms.is_some() || row.deleted_at_ms.is_some();
            check(is_changed || original.text == row.text, "text");
        }
        differences
    }

    /// The fields of a row that differ, if the row shows every change that was applied and no other.
    pub fn differences(&self, row: &Message) -> Vec<&'static str> {
        let mut differences = self.unchangeable_differences(row);
        let mut check = |is_equal: bool, name| {
            if !is_equal && !differences.contains(&name) {
                differences.push(name);
            }
        };
        let changes = &self.changes;
        let is_whole = self.original.is_some();
        let last = changes.last.as_ref().map(|change| change.id);
        check(last == row.changed, "changed");
        if is_whole || changes.deleted_at_ms.is_some() {
            check(changes.deleted_at_ms == row.deleted_at_ms, "deleted_at");
        }
        if is_whole || changes.edited.is_some() {
            let edited_at_ms = changes.edited.as_ref().map(|(_, at_ms)| *at_ms);
            check(edited_at_ms == row.edited_at_ms, "edited_at");
        }
        let text = match (&changes.edited, &self.original) {
            _ if row.deleted_at_ms.is_some() => Some(""),
            (Some((text, _)), _) => Some(text.as_str()),
            (None, Some(original)) => Some(original.text.as_str()),
            (None, None) => None,
        };
        check(text.is_none_or(|text| text == row.text), "text");
        check(self.reactions_are(row), "reactions");
        differences
    }

    fn reactions_are(&self, row: &Message) -> bool {
        let shows = |(emoji, user): &(String, UserName)| {
            let users = row.reactions.get(emoji);
            users.is_some_and(|users| users.contains(user))
        };
        let reactions = &self.changes.reactions;
        let shown: usize = row.reactions.values().map(Vec::len).sum();
        let on = reactions.values().filter(|on| **on).count();
        (self.original.is_none() || shown == on)
            && reactions.iter().all(|(of, on)| shows(of) == *on)
    }
}
