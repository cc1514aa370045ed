//! The recent records of a partition in memory: all that is not archived, and some more.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::entry::Entry;
use super::record::Body;
use crate::domain::{ChannelName, Id, UserName};
use crate::ports::broker::Offset;

/// What the tails of all partitions may take together.
#[derive(Debug)]
pub struct Budget {
    bytes: AtomicUsize,
    limit_bytes: usize,
    /// What one partition keeps of what is not archived, when all together are over the limit.
    share_bytes: usize,
}

impl Budget {
    pub fn new(limit_bytes: usize, partitions: u16) -> Budget {
        let share_bytes = limit_bytes / usize::from(partitions);
        Budget {
            bytes: AtomicUsize::new(0),
            limit_bytes,
            share_bytes,
        }
    }

    fn is_spent(&self) -> bool {
        self.bytes.load(Relaxed) > self.limit_bytes
    }
}

/// The tail of one partition.
#[derive(Debug)]
pub struct Tail {
    budget: Arc<Budget>,
    entries: VecDeque<Arc<Entry>>,
    /// What was accepted, by channel; kinds that are not shown are here too.
    channels: HashMap<ChannelName, VecDeque<Arc<Entry>>>,
    /// Changes of membership, by whose it is.
    members: HashMap<UserName, VecDeque<Arc<Entry>>>,
    bytes: usize,
    /// Every record with an id above this is here.
    above: Id,
    /// Every record at or after this offset is here.
    from: Offset,
}

impl Tail {
    /// An empty tail that begins behind `above`, at the offset `from`.
    pub fn new(budget: Arc<Budget>, above: Id, from: Offset) -> Tail {
        Tail {
            budget,
            entries: VecDeque::new(),
            channels: HashMap::new(),
            members: HashMap::new(),
            bytes: 0,
            above,
            from,
        }
    }

    /// Every record with an id above this is here.
    pub fn above(&self) -> Id {
        self.above
    }

    /// Every record at or after this offset is here.
    pub fn begins_at(&self) -> Offset {
        self.from
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the next record. `archived` is the mark's offset.
    pub fn push(&mut self, entry: Arc<Entry>, archived: Offset) {
        let bytes = entry.bytes();
        self.bytes += bytes;
        self.budget.bytes.fetch_add(bytes, Relaxed);
        if let Some(record) = entry.accepted() {
            let channel = self.channels.entry(record.channel.clone()).or_default();
            channel.push_back(entry.clone());
            if let Body::Member { user, .. } = &record.body {
                self.members
                    .entry(user.clone())
                    .or_default()
                    .push_back(entry.clone());
            }
        }
        self.entries.push_back(entry);
        self.trim(archived, 0);
    }

    /// Lets go of what is archived while there is too much or it is older than `keep_from_ms`; then,
    /// down to this partition's share, of what is not.
    pub fn trim(&mut self, archived: Offset, keep_from_ms: u64) {
        while let Some(front) = self.entries.front() {
            let spent = self.budget.is_spent();
            let expendable = if front.offset < archived {
                spent || front.append_ms < keep_from_ms
            } else {
                spent && self.bytes > self.budget.share_bytes
            };
            if !expendable {
                break;
            }
            if front.offset >= archived {
                metrics::counter!("lakechat_tail_unarchived_dropped_total").increment(1);
            }
            self.drop_front();
        }
    }

    fn drop_front(&mut self) {
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        let bytes = entry.bytes();
        self.bytes -= bytes;
        self.budget.bytes.fetch_sub(bytes, Relaxed);
        self.above = entry.id;
        self.from = entry.offset + 1;
        if let Some(record) = entry.accepted() {
            drop_first(&mut self.channels, &record.channel);
            if let Body::Member { user, .. } = &record.body {
                drop_first(&mut self.members, user);
            }
        }
    }

    /// Up to `max` records from an offset on; None if the tail no longer reaches back to it.
    pub fn from(&self, offset: Offset, max: usize) -> Option<Vec<Arc<Entry>>> {
        if offset < self.from {
            return None;
        }
        let start = self.entries.partition_point(|e| e.offset < offset);
        Some(self.entries.range(start..).take(max).cloned().collect())
    }

    /// How many records at or after an offset are here.
    pub fn count_from(&self, offset: Offset) -> usize {
        self.entries.len() - self.entries.partition_point(|e| e.offset < offset)
    }

    /// The last record below an offset, if it is here.
    pub fn last_below(&self, offset: Offset) -> Option<&Arc<Entry>> {
        let end = self.entries.partition_point(|e| e.offset < offset);
        self.entries.get(end.checked_sub(1)?)
    }

    /// What was accepted in a channel with an id in `after < id < before`, in order.
    pub fn within(
        &self,
        channel: &ChannelName,
        after: Id,
        before: Id,
    ) -> impl DoubleEndedIterator<Item = &Arc<Entry>> + use<'_> {
        let entries = self.channels.get(channel);
        entries.into_iter().flat_map(move |entries| {
            let start = entries.partition_point(|e| e.id <= after);
            let end = entries.partition_point(|e| e.id < before).max(start);
            entries.range(start..end)
        })
    }

    /// Changes of a user's memberships, in order.
    pub fn memberships(&self, user: &UserName) -> impl Iterator<Item = &Arc<Entry>> + use<'_> {
        self.members.get(user).into_iter().flatten()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

fn drop_first<K: std::hash::Hash + Eq>(index: &mut HashMap<K, VecDeque<Arc<Entry>>>, key: &K) {
    let entries = index
        .get_mut(key)
        .expect("what is in the tail is in its indexes");
    entries.pop_front();
    if entries.is_empty() {
        index.remove(key);
    }
}
