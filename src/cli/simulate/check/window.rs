//! The order of a channel's latest messages, as far as it is known.

use std::collections::VecDeque;

use super::super::message::Sent;
use lakechat_core::domain::Id;

/// The newest messages of a channel by their ids, from acks and from what people received.
#[derive(Debug)]
pub struct Window {
    entries: VecDeque<Entry>,
    capacity: usize,
    /// The largest id that the window no longer holds.
    dropped: Id,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: Id,
    pub sent: Sent,
}

impl Window {
    pub fn new(capacity: usize) -> Window {
        Window {
            entries: VecDeque::new(),
            capacity,
            dropped: Id::ZERO,
        }
    }

    pub fn find(&self, id: Id) -> Option<Entry> {
        let at = self.entries.binary_search_by_key(&id, |entry| entry.id);
        at.ok().map(|at| self.entries[at])
    }

    /// Where the same message is under another id.
    pub fn other_place(&self, of: Entry) -> Option<Id> {
        let mut same = self.entries.iter().filter(|entry| entry.sent == of.sent);
        same.find(|entry| entry.id != of.id).map(|entry| entry.id)
    }

    /// Those above an id, in order.
    pub fn after(&self, id: Id) -> impl Iterator<Item = Entry> {
        let from = self.entries.partition_point(|entry| entry.id <= id);
        self.entries.range(from..).copied()
    }

    /// Adds a message that isn't there yet. The oldest is dropped if the window is full.
    pub fn insert(&mut self, entry: Entry) {
        let at = self.entries.partition_point(|other| other.id < entry.id);
        self.entries.insert(at, entry);
        if self.entries.len() > self.capacity
            && let Some(oldest) = self.entries.pop_front()
        {
            self.dropped = oldest.id;
        }
    }

    pub fn newest(&self) -> Id {
        self.entries.back().map_or(self.dropped, |entry| entry.id)
    }

    /// Whether all messages above an id are still there.
    pub fn reaches(&self, id: Id) -> bool {
        id >= self.dropped
    }
}
