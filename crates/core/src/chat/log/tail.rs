//! The recent records of a partition, in memory: the unarchived ones, and some archived ones.

mod changes;
mod tally;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::entry::Entry;
use super::record::Body;
use crate::domain::{ChannelName, Id, ReactionCounts, UserName};
use crate::ports::broker::Offset;
use changes::Changes;

/// The memory limit that the tails of all partitions share.
#[derive(Debug)]
pub struct Budget {
    bytes: AtomicUsize,
    limit_bytes: usize,
    /// How much one partition keeps of its unarchived records while the total is over the limit.
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

    /// Whether the tails are over their limit.
    pub fn is_spent(&self) -> bool {
        self.bytes.load(Relaxed) > self.limit_bytes
    }
}

/// The tail of one partition.
#[derive(Debug)]
pub struct Tail {
    budget: Arc<Budget>,
    entries: VecDeque<Arc<Entry>>,
    /// The accepted records by channel, including the kinds that receivers don't get.
    channels: HashMap<ChannelName, VecDeque<Arc<Entry>>>,
    /// The newest change of each channel's topic and state.
    states: HashMap<ChannelName, ChannelState>,
    /// The accepted changes of membership, by the member.
    members: HashMap<UserName, VecDeque<Arc<Entry>>>,
    changes: Changes,
    bytes: usize,
    /// The tail has every record with an id above this one.
    above: Id,
    /// The tail has every record at or after this offset.
    from: Offset,
}

impl Tail {
    /// An empty tail that begins after the id `above`, at the offset `from`.
    pub fn new(budget: Arc<Budget>, above: Id, from: Offset) -> Tail {
        Tail {
            budget,
            entries: VecDeque::new(),
            channels: HashMap::new(),
            states: HashMap::new(),
            members: HashMap::new(),
            changes: Changes::default(),
            bytes: 0,
            above,
            from,
        }
    }

    /// The tail has every record with an id above this one.
    pub fn above(&self) -> Id {
        self.above
    }

    /// The tail has every record at or after this offset.
    pub fn begins_at(&self) -> Offset {
        self.from
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// If the next record, which is about to be added, is a reaction: the counts that result, if they are
    /// known.
    pub fn count_reaction(&mut self, entry: &Entry) -> Option<ReactionCounts> {
        self.changes.count(entry, self.above)
    }

    /// Adds the next record. Evicts nothing: the caller does so when the batch is complete.
    pub fn push(&mut self, entry: Arc<Entry>) {
        let bytes = entry.bytes();
        self.bytes += bytes;
        self.budget.bytes.fetch_add(bytes, Relaxed);
        if let Some(record) = entry.accepted() {
            let channel = self.channels.entry(record.channel.clone()).or_default();
            channel.push_back(entry.clone());
            self.changes.push(&entry);
            match &record.body {
                Body::Member { user, .. } => {
                    let changes = self.members.entry(user.clone()).or_default();
                    changes.push_back(entry.clone());
                }
                Body::Topic { .. } => self.state(&record.channel).topic = Some(entry.clone()),
                Body::Archive => self.state(&record.channel).archived = Some(entry.clone()),
                _ => {}
            }
        }
        self.entries.push_back(entry);
    }

    /// Evicts archived records while the tails are over their limit, or while the oldest record is
    /// older than `keep_from_ms` (append time). `archived`: the mark's offset.
    pub fn evict_archived(&mut self, archived: Offset, keep_from_ms: u64) {
        while let Some(front) = self.entries.front()
            && front.offset < archived
            && (self.budget.is_spent() || front.append_ms < keep_from_ms)
        {
            self.drop_front();
        }
    }

    /// Evicts records, archived or not, while the tails are over their limit, until this partition is
    /// down to its share. To be called when no tail has archived records left to evict.
    pub fn evict_to_share(&mut self, archived: Offset) {
        while let Some(front) = self.entries.front()
            && self.budget.is_spent()
            && self.bytes > self.budget.share_bytes
        {
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
            self.changes.drop_first(&entry);
            match &record.body {
                Body::Member { user, .. } => drop_first(&mut self.members, user),
                Body::Topic { .. } | Body::Archive => self.drop_state(&record.channel, entry.id),
                _ => {}
            }
        }
    }

    fn state(&mut self, channel: &ChannelName) -> &mut ChannelState {
        self.states.entry(channel.clone()).or_default()
    }

    fn drop_state(&mut self, channel: &ChannelName, id: Id) {
        let state = self.state(channel);
        state.topic.take_if(|entry| entry.id == id);
        state.archived.take_if(|entry| entry.id == id);
        if state.topic.is_none() && state.archived.is_none() {
            self.states.remove(channel);
        }
    }

    /// Up to `max` records from an offset on. `None` if the tail no longer reaches back to it.
    pub fn from(&self, offset: Offset, max: usize) -> Option<Vec<Arc<Entry>>> {
        if offset < self.from {
            return None;
        }
        let start = self.entries.partition_point(|e| e.offset < offset);
        Some(self.entries.range(start..).take(max).cloned().collect())
    }

    /// The number of records in the tail at or after an offset.
    pub fn count_from(&self, offset: Offset) -> usize {
        self.entries.len() - self.entries.partition_point(|e| e.offset < offset)
    }

    /// The last record below an offset, if the tail still has one.
    pub fn last_below(&self, offset: Offset) -> Option<&Arc<Entry>> {
        let end = self.entries.partition_point(|e| e.offset < offset);
        self.entries.get(end.checked_sub(1)?)
    }

    /// The accepted records of a channel with ids in `after < id < before`, in order.
    pub fn within(
        &self,
        channel: &ChannelName,
        after: Id,
        before: Id,
    ) -> impl DoubleEndedIterator<Item = &Arc<Entry>> + use<'_> {
        let entries = self.channels.get(channel);
        entries.into_iter().flat_map(move |entries| {
            let start = entries.partition_point(|e| e.id <= after);
            // `max`: if `before` is not above `after`, the range is empty instead of a panic.
            let end = entries.partition_point(|e| e.id < before).max(start);
            entries.range(start..end)
        })
    }

    /// The accepted changes of a message, in the order of the log.
    pub fn changes_of<'a>(
        &'a self,
        channel: &'a ChannelName,
        message: Id,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Entry>> {
        self.changes.of(channel, message)
    }

    /// The newest change of a channel's topic and its archival, if the tail has them. Unlike
    /// [`Tail::within`], this costs the same however much the tail has of the channel.
    pub fn newest_state(
        &self,
        channel: &ChannelName,
    ) -> impl Iterator<Item = &Arc<Entry>> + use<'_> {
        let state = self.states.get(channel).into_iter();
        state.flat_map(|state| state.topic.iter().chain(&state.archived))
    }

    /// The accepted changes of a user's memberships, in the order of the log.
    pub fn memberships(&self, user: &UserName) -> impl Iterator<Item = &Arc<Entry>> + use<'_> {
        self.members.get(user).into_iter().flatten()
    }
}

/// The newest entries that changed what a channel is, apart from its members.
#[derive(Debug, Default)]
struct ChannelState {
    topic: Option<Arc<Entry>>,
    archived: Option<Arc<Entry>>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::log::fold::Verdict;
    use crate::chat::log::record::Record;

    fn channel() -> ChannelName {
        ChannelName::parse("ops").expect("a name")
    }

    /// Adds an accepted record; its id is one above its offset.
    fn push(tail: &mut Tail, offset: Offset, body: Body) {
        let record = Record {
            channel: channel(),
            private: false,
            sender: UserName::parse("ann").expect("a name"),
            client_msg_id: None,
            digest: body.digest(),
            received_at_ms: 0,
            body,
        };
        let id = Id::from_u64(offset + 1).expect("small");
        let entry = Entry::new(offset, 0, id, Verdict::Accepted, Some(record));
        tail.push(Arc::new(entry));
    }

    fn topic(text: &str) -> Body {
        Body::Topic {
            topic: text.to_owned(),
        }
    }

    fn message() -> Body {
        Body::Message {
            text: "hi".to_owned(),
            reply_to: None,
            file: None,
        }
    }

    fn state(tail: &Tail) -> Vec<u64> {
        let newest = tail.newest_state(&channel());
        newest.map(|entry| entry.id.as_u64()).collect()
    }

    #[test]
    fn a_channels_state_is_its_newest_topic_and_archival() {
        let budget = Arc::new(Budget::new(1 << 20, 1));
        let mut tail = Tail::new(budget, Id::ZERO, 0);
        assert!(state(&tail).is_empty());
        let bodies = [topic("a"), message(), topic("b"), message(), Body::Archive];
        for (offset, body) in (0..).zip(bodies) {
            push(&mut tail, offset, body);
        }
        assert_eq!(state(&tail), [3, 5]);
        for left in [&[3, 5][..], &[3, 5], &[5], &[5], &[]] {
            tail.drop_front();
            assert_eq!(state(&tail), left);
        }
        assert!(tail.states.is_empty());
    }
}
