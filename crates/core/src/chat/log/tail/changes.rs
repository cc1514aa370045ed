//! The changes in the tail, by the message that they change.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::chat::log::entry::Entry;
use crate::domain::{ChannelName, Id};

/// The accepted edits, deletes and reactions of the tail.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// By target. An id occurs once in a partition, whatever the channel.
    of_target: HashMap<Id, VecDeque<Arc<Entry>>>,
}

impl Changes {
    /// Adds an accepted entry of the tail, if it is a change.
    pub fn push(&mut self, entry: &Arc<Entry>) {
        if let Some(target) = entry.target() {
            let changes = self.of_target.entry(target).or_default();
            changes.push_back(entry.clone());
        }
    }

    /// Removes the tail's oldest accepted entry, if it is a change.
    pub fn drop_first(&mut self, entry: &Entry) {
        if let Some(target) = entry.target() {
            super::drop_first(&mut self.of_target, &target);
        }
    }

    /// The changes of a message, in order. A record may name a target of another channel, which it
    /// doesn't change.
    pub fn of<'a>(
        &'a self,
        channel: &'a ChannelName,
        message: Id,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Entry>> {
        let changes = self.of_target.get(&message).into_iter().flatten();
        changes.filter(move |e| e.accepted().is_some_and(|r| r.channel == *channel))
    }
}
