//! The window: the keys of recent records, by which the fold recognises retries.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};

use crate::chat::log::record::{Body, Digest, Record};
use crate::domain::{ChannelName, ClientMsgId, Id, UserName};

use super::WINDOW_MS;

/// The result of looking up a key in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowMatch {
    /// The window has no record of this key.
    Unknown,
    /// The first record of this key has the same content, and this id.
    Same(Id),
    /// The first record of this key has other content, and this id.
    Other(Id),
    /// Retries of this key are left, but the first record was evicted.
    TooOld,
}

/// A collection with at most this capacity is never shrunk.
const SMALL: usize = 64;

/// A keyed 128-bit hash of texts of any length.
pub type Key = [u64; 2];

/// Hashes texts of any length into keys. It is seeded at random in each process, so that nobody can
/// prepare two texts whose keys collide.
#[derive(Clone, Debug, Default)]
pub struct KeyHasher(RandomState, RandomState);

impl KeyHasher {
    /// The key of a send.
    pub fn key(&self, channel: &ChannelName, sender: &UserName, of: &ClientMsgId) -> Key {
        self.hash((channel, sender, of.canonical()))
    }

    fn hash(&self, of: impl Hash) -> Key {
        [self.0.hash_one(&of), self.1.hash_one(&of)]
    }
}

#[derive(Debug)]
struct WindowEntry {
    append_ms: u64,
    /// Unused for a record without `client_msg_id`; then `keyed` is false.
    key: Key,
    keyed: bool,
    /// The window had no record of this key when this one was added.
    fresh: bool,
    /// The record is a delete. [`Window::deletes`] holds its target.
    deletes: bool,
}

/// The entries of one key: their number, and the first record if the window still has it.
#[derive(Debug)]
struct Known {
    entries: u32,
    fresh: Option<(Id, Digest)>,
}

/// The records that are not late, in log order.
///
/// The number of records has no limit, because a retry of an evicted record would be accepted
/// again. Instead the log watches [`Window::bytes`] and refuses sends.
#[derive(Debug, Default)]
pub struct Window {
    hasher: KeyHasher,
    entries: VecDeque<WindowEntry>,
    known: HashMap<Key, Known>,
    /// The targets of the deletes among the entries, in the same order.
    deletes: VecDeque<Key>,
    /// The same targets, with the number of deletes of each.
    deleted: HashMap<Key, u32>,
}

impl Window {
    pub fn new(hasher: KeyHasher) -> Window {
        Window {
            hasher,
            ..Window::default()
        }
    }

    /// The key of (channel, sender, client_msg_id).
    pub fn key(&self, channel: &ChannelName, sender: &UserName, of: &ClientMsgId) -> Key {
        self.hasher.key(channel, sender, of)
    }

    pub fn lookup(&self, key: Key, digest: Digest) -> WindowMatch {
        match self.known.get(&key).map(|known| known.fresh) {
            None => WindowMatch::Unknown,
            Some(None) => WindowMatch::TooOld,
            Some(Some((id, fresh))) if fresh == digest => WindowMatch::Same(id),
            Some(Some((id, _))) => WindowMatch::Other(id),
        }
    }

    /// Whether the window has a delete of this message.
    pub fn is_deleted(&self, channel: &str, target: Id) -> bool {
        !self.deleted.is_empty()
            && self
                .deleted
                .contains_key(&self.hasher.hash((channel, target)))
    }

    /// The window's memory use, estimated.
    pub fn bytes(&self) -> usize {
        // A hash map has a control byte per slot and fills at most 7/8 of its slots.
        let slot = |size: usize| (size + 1) * 8 / 7;
        self.entries.capacity() * size_of::<WindowEntry>()
            + self.known.capacity() * slot(size_of::<(Key, Known)>())
            + self.deletes.capacity() * size_of::<Key>()
            + self.deleted.capacity() * slot(size_of::<(Key, u32)>())
    }

    /// Whether a record appended at this time would evict an entry. Such a send is admitted even if
    /// the windows are full: if it were refused, nothing would ever be evicted.
    pub fn lets_go_at(&self, append_ms: u64) -> bool {
        self.entries
            .front()
            .is_some_and(|e| e.append_ms + WINDOW_MS < append_ms)
    }

    /// Evicts the entries that are too old for a record with this append time. An old entry behind
    /// a younger one stays until that one is evicted: evictions follow the order of the log, even
    /// if its clock stepped back.
    pub(super) fn evict(&mut self, append_ms: u64) {
        while self.lets_go_at(append_ms) {
            let entry = self.entries.pop_front().expect("there is a front");
            if entry.keyed {
                self.forget(entry.key, entry.fresh);
            }
            if entry.deletes {
                let target = self.deletes.pop_front().expect("each flag has its target");
                let left = self.deleted.get_mut(&target).expect("counted when it came");
                *left -= 1;
                if *left == 0 {
                    self.deleted.remove(&target);
                }
            }
        }
        self.give_back();
    }

    /// Returns memory after a busy time. A shrink copies fewer entries than were evicted since the
    /// previous one, so its amortised cost per entry is constant.
    fn give_back(&mut self) {
        let idle = |len: usize, capacity: usize| capacity > SMALL && len < capacity / 8;
        if idle(self.entries.len(), self.entries.capacity()) {
            self.entries.shrink_to(2 * self.entries.len());
        }
        if idle(self.known.len(), self.known.capacity()) {
            self.known.shrink_to(2 * self.known.len());
        }
        if idle(self.deletes.len(), self.deletes.capacity()) {
            self.deletes.shrink_to(2 * self.deletes.len());
        }
        if idle(self.deleted.len(), self.deleted.capacity()) {
            self.deleted.shrink_to(2 * self.deleted.len());
        }
    }

    fn forget(&mut self, key: Key, fresh: bool) {
        let known = self
            .known
            .get_mut(&key)
            .expect("each entry of a key is counted");
        known.entries -= 1;
        if known.entries == 0 {
            self.known.remove(&key);
        } else if fresh {
            // Only retries are left: from here on the key is too old.
            known.fresh = None;
        }
    }

    /// Adds a record. `key`: the key of its send, if it has a `client_msg_id`.
    pub(super) fn push(&mut self, append_ms: u64, id: Id, key: Option<Key>, record: &Record) {
        let mut entry = WindowEntry {
            append_ms,
            key: [0; 2],
            keyed: false,
            fresh: false,
            deletes: false,
        };
        if let Some(key) = key {
            entry.key = key;
            entry.keyed = true;
            entry.fresh = !self.known.contains_key(&entry.key);
            let fresh = Some((id, record.digest));
            let known = self
                .known
                .entry(entry.key)
                .or_insert(Known { entries: 0, fresh });
            known.entries += 1;
        }
        if let Body::Delete { target } = record.body {
            let target = self.hasher.hash((record.channel.as_str(), target));
            *self.deleted.entry(target).or_insert(0) += 1;
            self.deletes.push_back(target);
            entry.deletes = true;
        }
        self.entries.push_back(entry);
    }
}
