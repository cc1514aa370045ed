//! The records of the last minutes, by which a retry is known as one.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};

use crate::chat::log::record::{Body, Digest, Record};
use crate::domain::{ChannelName, ClientMsgId, Id, UserName};

use super::WINDOW_MS;

/// What stands in the window under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowMatch {
    /// Nothing: a record of this key would be fresh.
    Unknown,
    /// A fresh record of this key and this content.
    Same(Id),
    /// A fresh record of this key with other content.
    Other(Id),
    /// Records of this key, but the fresh one has left.
    TooOld,
}

/// Room for this many entries is kept even when nothing stands there.
const SMALL: usize = 64;

/// 128 bits that stand for texts of any length.
pub type Key = [u64; 2];

/// Makes keys of what has no bound in length. Keyed at random in each process, so that
/// nobody can prepare two that collide.
#[derive(Clone, Debug, Default)]
pub struct KeyHasher(RandomState, RandomState);

impl KeyHasher {
    /// The key of a send.
    pub fn key(&self, channel: &ChannelName, sender: &UserName, of: &ClientMsgId) -> Key {
        self.hash((channel, sender, of))
    }

    fn hash(&self, of: impl Hash) -> Key {
        [self.0.hash_one(&of), self.1.hash_one(&of)]
    }
}

#[derive(Debug)]
struct Entry {
    append_ms: u64,
    /// Of nothing, for a record without `client_msg_id`.
    key: Key,
    keyed: bool,
    /// No record of its key stood in the window before it.
    fresh: bool,
    /// The next of `deletes` is its target.
    deletes: bool,
}

/// What stands under one key.
#[derive(Debug)]
struct Known {
    entries: u32,
    fresh: Option<(Id, Digest)>,
}

/// Records that are not late, in log order. It never forgets in silence: it has no bound in
/// records, and whoever feeds it watches [`Window::bytes`] and refuses sends.
#[derive(Debug, Default)]
pub struct Window {
    hasher: KeyHasher,
    entries: VecDeque<Entry>,
    known: HashMap<Key, Known>,
    /// The targets of the deletes among the entries, in their order.
    deletes: VecDeque<Key>,
    /// The same targets, and how many deletes each has.
    deleted: HashMap<Key, u32>,
}

impl Window {
    pub fn new(hasher: KeyHasher) -> Window {
        Window {
            hasher,
            ..Window::default()
        }
    }

    /// What (channel, sender, client_msg_id) is known by.
    pub fn key(&self, channel: &ChannelName, sender: &UserName, of: &ClientMsgId) -> Key {
        self.hasher.key(channel, sender, of)
    }

    pub fn look(&self, key: Key, digest: Digest) -> WindowMatch {
        match self.known.get(&key).map(|known| known.fresh) {
            None => WindowMatch::Unknown,
            Some(None) => WindowMatch::TooOld,
            Some(Some((id, fresh))) if fresh == digest => WindowMatch::Same(id),
            Some(Some((id, _))) => WindowMatch::Other(id),
        }
    }

    /// Whether a delete of this message stands in the window.
    pub fn is_deleted(&self, channel: &str, target: Id) -> bool {
        !self.deleted.is_empty()
            && self
                .deleted
                .contains_key(&self.hasher.hash((channel, target)))
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        // A hash map's slot has a byte of its own and is used to 7/8 at most.
        let slot = |size: usize| (size + 1) * 8 / 7;
        self.entries.capacity() * size_of::<Entry>()
            + self.known.capacity() * slot(size_of::<(Key, Known)>())
            + self.deletes.capacity() * size_of::<Key>()
            + self.deleted.capacity() * slot(size_of::<(Key, u32)>())
    }

    /// Whether a record appended at this time would let go of something. A full window takes such a
    /// send all the same: refused, nothing would ever empty it.
    pub fn lets_go_at(&self, append_ms: u64) -> bool {
        self.entries
            .front()
            .is_some_and(|e| e.append_ms + WINDOW_MS < append_ms)
    }

    /// Lets go of what is too old at a record with this append time. One behind a younger front
    /// waits: what is let go depends on the log's order alone, even where its clock stepped.
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

    /// Returns memory that a busier time took. So seldom that an entry pays for it once at most.
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
            known.fresh = None;
        }
    }

    /// Adds a record; `key`: of its send, if it has a `client_msg_id`.
    pub(super) fn push(&mut self, append_ms: u64, id: Id, key: Option<Key>, record: &Record) {
        let mut entry = Entry {
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
