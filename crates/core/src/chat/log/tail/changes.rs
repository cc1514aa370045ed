//! The changes in the tail, by the message that they change.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::tally::Tally;
use crate::chat::log::entry::Entry;
use crate::domain::{ChannelName, Id, ReactionCounts};

/// The accepted edits, deletes and reactions of the tail.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// By target. An id occurs once in a partition, whatever the channel.
    of_target: HashMap<Id, OfTarget>,
}

#[derive(Debug, Default)]
struct OfTarget {
    entries: VecDeque<Arc<Entry>>,
    tally: Tally,
}

impl Changes {
    /// Counts an entry that is about to be added, if it is a reaction. Returns the counts that result,
    /// if they are known. `above`: the tail has every record with an id above this one.
    pub fn count(&mut self, entry: &Entry, above: Id) -> Option<ReactionCounts> {
        let target = entry.target()?;
        let changes = self.of_target.entry(target).or_default();
        changes.tally.count(entry, above)
    }

    /// Adds an accepted entry of the tail, if it is a change.
    pub fn push(&mut self, entry: &Arc<Entry>) {
        if let Some(target) = entry.target() {
            let changes = self.of_target.entry(target).or_default();
            changes.entries.push_back(entry.clone());
        }
    }

    /// Removes the tail's oldest accepted entry, if it is a change.
    pub fn drop_first(&mut self, entry: &Entry) {
        let Some(target) = entry.target() else {
            return;
        };
        let changes = self.of_target.get_mut(&target);
        let changes = changes.expect("what is in the tail is in its indexes");
        changes.entries.pop_front();
        changes.tally.forget(entry);
        if changes.entries.is_empty() {
            self.of_target.remove(&target);
        }
    }

    /// The changes of a message, in order. A record may name a target of another channel, which it
    /// doesn't change.
    pub fn of<'a>(
        &'a self,
        channel: &'a ChannelName,
        message: Id,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Entry>> {
        let changes = self.of_target.get(&message).into_iter();
        let entries = changes.flat_map(|changes| &changes.entries);
        entries.filter(move |e| e.accepted().is_some_and(|r| r.channel == *channel))
    }
}
