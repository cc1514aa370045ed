//! The messages that can't be judged yet, because changes of them follow in the log.

use std::collections::{BTreeMap, BTreeSet};

use super::channel::{OpenKind, OpenMessage};
use super::expected::Expected;
use crate::domain::{Cells, ChannelName, HistoryRow, Id, Partition};

/// Memory for open messages. Beyond it, further ones are counted and not judged.
const MAX_BYTES: usize = 64 * 1024 * 1024;

type Key = (ChannelName, Id);

#[derive(Debug, Default)]
pub(super) struct OpenMessages {
    messages: BTreeMap<Key, OpenMessage>,
    /// By partition, the change up to which the log has to be folded, and the message.
    due: BTreeSet<(Partition, Id, Key)>,
    bytes: usize,
    /// Messages for which there was no room.
    pub dropped: u64,
}

impl OpenMessages {
    pub fn add(&mut self, partition: Partition, channel: ChannelName, message: OpenMessage) {
        if self.bytes >= MAX_BYTES {
            self.dropped += 1;
            return;
        }
        self.bytes += bytes(&message);
        let key = (channel, message.id);
        if let OpenKind::Changed(by) = message.kind {
            self.due.insert((partition, by, key.clone()));
        }
        self.messages.insert(key, message);
    }

    /// Applies a change; false if its message isn't open.
    pub fn apply(&mut self, row: &HistoryRow) -> bool {
        let Cells::Change(change) = &row.cells else {
            return true;
        };
        let key = (row.channel.clone(), change.target);
        let Some(open) = self.messages.get_mut(&key) else {
            return false;
        };
        self.bytes = self.bytes.saturating_sub(bytes(open));
        open.expected.apply(change);
        if let OpenKind::Missing(rows) = &mut open.kind {
            // The message's own row is the last one.
            let last = rows.len().saturating_sub(1);
            rows.insert(last, row.clone());
        }
        self.bytes += bytes(open);
        true
    }

    /// Takes the messages whose last change is at or below an id.
    pub fn take_due(&mut self, partition: Partition, upto: Id) -> Vec<(ChannelName, OpenMessage)> {
        let mut taken = Vec::new();
        while let Some(first) = self.due.range((partition, Id::ZERO, no_key())..).next()
            && first.0 == partition
            && first.1 <= upto
        {
            let first = first.clone();
            self.due.remove(&first);
            taken.extend(self.take(first.2));
        }
        taken
    }

    /// Takes all messages of a partition that have no row, with the rows that they should have.
    pub fn take_missing(
        &mut self,
        partition: Partition,
    ) -> Vec<(ChannelName, Id, Vec<HistoryRow>)> {
        let is_missing = |open: &OpenMessage| matches!(open.kind, OpenKind::Missing(_));
        let all = self.messages.iter();
        let keys: Vec<Key> = all
            .filter(|((_, id), open)| id.partition() == partition && is_missing(open))
            .map(|(key, _)| key.clone())
            .collect();
        let taken = keys.into_iter().filter_map(|key| self.take(key));
        taken
            .filter_map(|(channel, open)| match open.kind {
                OpenKind::Missing(rows) => Some((channel, open.id, rows)),
                OpenKind::Changed(_) => None,
            })
            .collect()
    }

    fn take(&mut self, key: Key) -> Option<(ChannelName, OpenMessage)> {
        let open = self.messages.remove(&key)?;
        self.bytes = self.bytes.saturating_sub(bytes(&open));
        Some((key.0, open))
    }
}

/// Below the key of every message.
fn no_key() -> Key {
    (ChannelName::parse("0").expect("a name"), Id::ZERO)
}

fn bytes(open: &OpenMessage) -> usize {
    let row = |row: &HistoryRow| {
        let text = match &row.cells {
            Cells::Message(message) => message.text.len(),
            _ => 0,
        };
        size_of::<HistoryRow>() + text
    };
    let rows = match &open.kind {
        OpenKind::Changed(_) => 0,
        OpenKind::Missing(rows) => rows.iter().map(row).sum(),
    };
    open.expected.bytes() + rows
}

/// The changes of each message, in order, as far as the log says what they leave.
pub(super) fn by_target(changes: Vec<HistoryRow>) -> BTreeMap<Key, (Expected, Vec<HistoryRow>)> {
    let mut targets: BTreeMap<Key, (Expected, Vec<HistoryRow>)> = BTreeMap::new();
    for row in changes {
        if let Cells::Change(change) = &row.cells {
            let (expected, rows) = targets
                .entry((row.channel.clone(), change.target))
                .or_default();
            expected.apply(change);
            rows.push(row);
        }
    }
    targets
}
