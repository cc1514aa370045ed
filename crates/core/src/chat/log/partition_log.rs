//! The state of one partition: its fold, its tail, and the sends and acks that wait.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::entry::Entry;
use super::fold::{Fold, KeyHasher, Verdict};
use super::freshness::Freshness;
use super::lag::Lag;
use super::partition;
use super::pending::{Own, Pending, Persisting, Waiter};
use super::record::{DecodeError, Record};
use super::skew::ClockSkew;
use super::stopped::StoppedPartitions;
use super::tail::{Budget, Tail};
use crate::domain::{Code, Id, Partition, Problem};
use crate::ports::broker::{DeadLetter, LogRecord, Offset};
use crate::ports::history::Mark;

/// A log record, either decoded or marked as unreadable or newer than this release.
pub struct Decoded {
    offset: Offset,
    append_ms: u64,
    content: Content,
}

enum Content {
    Record(Record),
    Unreadable(Box<DeadLetter>),
    /// Holds the record's version, which this release can't read.
    Newer(u64),
}

/// Decodes a log record and checks that its channel belongs to this partition. `count`: the
/// number of partitions in the log.
pub fn decode_record(
    partition: Partition,
    count: u16,
    record: &LogRecord,
) -> Result<Record, DecodeError> {
    let decoded = Record::decode(&record.key, &record.value)?;
    let here = partition::of(&decoded.channel, count) == partition;
    let elsewhere = DecodeError::Unreadable("its channel belongs to another partition");
    here.then_some(decoded).ok_or(elsewhere)
}

/// The same, for a [`PartitionLog`].
pub fn decode(partition: Partition, count: u16, record: LogRecord) -> Decoded {
    let (offset, append_ms) = (record.offset, record.append_ms);
    let content = match decode_record(partition, count, &record) {
        Ok(record) => Content::Record(record),
        Err(DecodeError::Newer(version)) => Content::Newer(version),
        Err(DecodeError::Unreadable(reason)) => Content::Unreadable(Box::new(DeadLetter {
            record,
            reason: reason.into(),
        })),
    };
    Decoded {
        offset,
        append_ms,
        content,
    }
}

/// The verdict on a record that this server published, and the waiter of its send.
#[derive(Debug)]
pub struct SendOutcome {
    pub waiter: Waiter,
    pub id: Id,
    pub verdict: Verdict,
    /// When this server received the send, and when the log stamped its record: ms since 1970, each
    /// by its own clock.
    pub received_at_ms: u64,
    pub append_ms: u64,
}

#[derive(Debug)]
pub struct PartitionLog {
    partition: Partition,
    pub fold: Fold,
    pub tail: Tail,
    pub pending: Pending,
    pub persisting: Vec<Persisting>,
    pub freshness: Freshness,
    pub lag: Lag,
    pub skew: ClockSkew,
    hasher: KeyHasher,
    phase: Phase,
    /// Where the partition enters itself when it stops.
    stopped_partitions: StoppedPartitions,
    /// Every record below this offset was folded, but may not be delivered yet.
    folded_to: Offset,
    /// One past the last record that was folded. Below `folded_to` if offsets without a record of this
    /// partition follow.
    records_to: Offset,
    /// Why the archiver can't store this partition, if it can't.
    pub archive_stopped: Option<String>,
}

#[derive(Debug)]
enum Phase {
    /// Records below the mark only fill the window. History already has them, and the fold may
    /// give them other verdicts here than it did when it had read every earlier record.
    WarmingUp {
        mark: Mark,
        folded: u64,
        /// Whether this is the second reading: see [`PartitionLog::rewind`].
        rewound: bool,
    },
    /// The reader has to return to the offset where the warm-up began.
    Rewinding { mark: Mark },
    /// Records are kept in the tail and delivered.
    Serving {
        folded_any: bool,
        /// A mark above everything folded. When the fold reaches it, the id minted last must be
        /// the mark's.
        awaited: Option<Mark>,
    },
    /// Nothing is folded, served or archived until an operator acts. Holds the reason.
    Stopped(String),
}

impl PartitionLog {
    pub fn new(
        partition: Partition,
        hasher: KeyHasher,
        budget: Arc<Budget>,
        stopped_partitions: StoppedPartitions,
    ) -> PartitionLog {
        PartitionLog {
            partition,
            fold: Fold::new(partition, Id::ZERO, hasher.clone()),
            hasher,
            phase: Phase::Serving {
                folded_any: false,
                awaited: None,
            },
            stopped_partitions,
            folded_to: 0,
            records_to: 0,
            tail: Tail::new(budget, Id::ZERO, 0),
            pending: Pending::default(),
            persisting: Vec::new(),
            freshness: Freshness::default(),
            lag: Lag::default(),
            skew: ClockSkew::default(),
            archive_stopped: None,
        }
    }

    /// Starts a warm-up. The records that follow begin at or below the mark; only those from the
    /// mark on enter the tail.
    pub fn warm_up(&mut self, mark: Mark, budget: Arc<Budget>) {
        self.tail = Tail::new(budget, mark.id, mark.offset);
        self.phase = Phase::WarmingUp {
            mark,
            folded: 0,
            rewound: false,
        };
    }

    /// Why the partition is stopped, if it is.
    pub fn stopped(&self) -> Option<&str> {
        match &self.phase {
            Phase::Stopped(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether the tail has evicted a record with an id above `mark`, so that channel state would miss
    /// it. A stopped partition never gets better: what it still has is all that there is.
    pub fn lacks_above(&self, mark: Id) -> bool {
        self.tail.above() > mark && self.stopped().is_none()
    }

    fn folds(&self) -> bool {
        matches!(self.phase, Phase::WarmingUp { .. } | Phase::Serving { .. })
    }

    /// The last id in history or in this log: the mark's until a record above the mark is folded.
    pub fn last_id(&self) -> Id {
        self.fold.last_id().max(self.tail.above())
    }

    /// Folds records in offset order. Returns the entries from the mark on, and the outcomes of
    /// this server's own sends. Stops early if the partition stops or has to rewind.
    pub fn fold(&mut self, records: Vec<Decoded>) -> (Vec<Arc<Entry>>, Vec<SendOutcome>) {
        let mut entries = Vec::with_capacity(records.len());
        let mut outcomes = Vec::new();
        for Decoded {
            offset,
            append_ms,
            content,
        } in records
        {
            // Before the fold: the check compares the id that was minted last below this offset.
            self.pass_mark(offset);
            if !self.folds() {
                break;
            }
            let (record, dead) = match content {
                Content::Record(record) => (Some(record), None),
                Content::Unreadable(dead) => (None, Some(dead)),
                Content::Newer(version) => {
                    self.stop(format!(
                        "offset {offset} holds a record of version {version}: upgrade this server"
                    ));
                    break;
                }
            };
            let (id, verdict) = self.fold.next(append_ms, record.as_ref());
            self.folded_to = offset + 1;
            self.records_to = offset + 1;
            match &mut self.phase {
                Phase::WarmingUp { folded, .. } => {
                    *folded += 1;
                    continue;
                }
                Phase::Serving { folded_any, .. } => *folded_any = true,
                Phase::Rewinding { .. } | Phase::Stopped(_) => break,
            }
            outcomes.extend(self.outcome_of(record.as_ref(), append_ms, id, verdict));
            let mut entry = match dead {
                Some(dead) => Entry::unreadable(id, dead),
                None => Entry::new(offset, append_ms, id, verdict, record),
            };
            if let Some(counts) = self.tail.count_reaction(&entry) {
                entry.encode_reaction(&counts);
            }
            let entry = Arc::new(entry);
            self.tail.push(entry.clone());
            entries.push(entry);
        }
        (entries, outcomes)
    }

    fn outcome_of(
        &mut self,
        record: Option<&Record>,
        append_ms: u64,
        id: Id,
        verdict: Verdict,
    ) -> Option<SendOutcome> {
        // Avoids hashing the key of every record that another server published.
        if self.pending.is_empty() {
            return None;
        }
        let record = record?;
        let client_msg_id = record.client_msg_id.as_ref()?;
        let key = self
            .fold
            .window()
            .key(&record.channel, &record.sender, client_msg_id);
        let own = Own {
            key,
            digest: record.digest,
            received_at_ms: record.received_at_ms,
        };
        let waiter = self.pending.seen(own)?;
        Some(SendOutcome {
            waiter,
            id,
            verdict,
            received_at_ms: record.received_at_ms,
            append_ms,
        })
    }

    /// Must be called before a record at or above `offset` is folded. If `offset` is the first one
    /// at or above a mark, the id minted last must be the mark's.
    fn pass_mark(&mut self, offset: Offset) {
        let minted = self.fold.last_id();
        match &mut self.phase {
            Phase::WarmingUp {
                mark,
                folded,
                rewound,
            } if mark.offset <= offset => {
                let (mark, folded, rewound) = (*mark, *folded, *rewound);
                self.phase = Phase::Serving {
                    folded_any: folded > 0,
                    awaited: None,
                };
                if folded == 0 {
                    self.continue_from(mark.id);
                } else if mark.id != minted && !rewound {
                    // Perhaps no record of the warm-up set the clock. A second reading decides.
                    self.rewind(mark, folded);
                } else {
                    self.verify(mark, minted);
                }
            }
            Phase::Serving {
                folded_any,
                awaited,
            } => {
                let folded_any = *folded_any;
                let Some(mark) = awaited.take_if(|mark| mark.offset <= offset) else {
                    return;
                };
                if folded_any {
                    self.verify(mark, minted);
                } else {
                    self.continue_from(mark.id);
                }
            }
            Phase::WarmingUp { .. } | Phase::Rewinding { .. } | Phase::Stopped(_) => {}
        }
    }

    /// Replaces the fold by one that continues after `id`, with an empty window.
    fn continue_from(&mut self, id: Id) {
        self.fold = Fold::new(self.partition, id, self.hasher.clone());
    }

    /// Prepares a second reading of the warm-up.
    ///
    /// If the clock was ahead of every record of the warm-up, no record set it and each took one
    /// step. Then the ids began as many steps below the mark's id as the warm-up has records. If a
    /// second reading from there mints the mark's id, this is the mark's log.
    fn rewind(&mut self, mark: Mark, folded: u64) {
        self.continue_from(mark.id.stepped_back(folded));
        self.folded_to = 0;
        self.records_to = 0;
        self.phase = Phase::Rewinding { mark };
    }

    /// Whether the warm-up has to be read again from its first offset. Returns true only once.
    pub fn take_rewind(&mut self) -> bool {
        let Phase::Rewinding { mark } = self.phase else {
            return false;
        };
        self.phase = Phase::WarmingUp {
            mark,
            folded: 0,
            rewound: true,
        };
        true
    }

    /// Records that everything below an offset was folded. Returns false if it was not, because the
    /// partition is stopped or has to be read again.
    pub fn advance(&mut self, position: Offset) -> bool {
        self.pass_mark(position);
        if !self.folds() {
            return false;
        }
        self.folded_to = self.folded_to.max(position);
        self.freshness.passed(position);
        true
    }

    /// Compares a mark with the id that the fold minted there, at once or when the fold reaches the
    /// mark. Skips the comparison if the tail no longer reaches back to the mark.
    pub fn check_mark(&mut self, mark: Mark) {
        if mark.offset > self.folded_to {
            if let Phase::Serving { awaited, .. } = &mut self.phase {
                awaited.get_or_insert(mark);
            }
        } else if self.tail.begins_at() <= mark.offset {
            let last = self.tail.last_below(mark.offset);
            let minted = last.map_or(self.tail.above(), |entry| entry.id);
            self.verify(mark, minted);
        }
    }

    fn verify(&mut self, mark: Mark, minted: Id) {
        if mark.id != Id::ZERO && mark.id != minted {
            self.stop(format!(
                "history was written up to offset {} from a log in which the id there is {}, and \
                 in this one it is {minted}: this is another log (`lakechat log adopt --help`)",
                mark.offset, mark.id
            ));
        }
    }

    /// Whether records were folded that are not in history. `mark`: the mark's offset.
    pub fn has_unarchived(&self, mark: Offset) -> bool {
        mark < self.records_to
    }

    /// Measures how long the oldest unarchived record has waited. `kept`: the log's retention.
    pub fn look_at_lag(&mut self, mark: Mark, now_ms: u64, kept: Option<Duration>) {
        if !self.has_unarchived(mark.offset) {
            return self.lag.end();
        }
        let oldest = self.tail.from(mark.offset, 1);
        let oldest_ms = oldest.and_then(|oldest| Some(oldest.first()?.append_ms));
        self.lag.update(oldest_ms, mark.time_ms, now_ms, kept);
    }

    pub fn stop(&mut self, reason: String) {
        if self.stopped().is_some() {
            return;
        }
        tracing::error!(partition = self.partition.0, %reason, "a partition of the log is stopped");
        self.phase = Phase::Stopped(format!("partition {}: {reason}", self.partition));
        self.stopped_partitions.add(self.partition);
    }

    /// Checks whether a send may be published to this partition. `window_full`: the windows exceed
    /// their memory limit. Then a send is admitted only if its record evicts an entry.
    pub fn may_publish(&self, now_ms: u64, window_full: bool) -> Result<(), Problem> {
        let refuse = |reason: &'static str| {
            Err(Problem::new(Code::BrokerUnavailable, reason).retry_after_ms(1_000))
        };
        if self.stopped().is_some() {
            return refuse(
                "This server has stopped this channel's part of the log, and an operator has to resolve \
                 it; another server may still take messages.",
            );
        }
        if self.lag.refuses() {
            return refuse("History is too far behind the log; an operator has to resolve it.");
        }
        if window_full && !self.fold.window().lets_go_at(now_ms) {
            return refuse("Too many messages in the last ten minutes; later there is room again.");
        }
        if !self.freshness.is_fresh() {
            return refuse("This server is not up to date with the log; try again.");
        }
        Ok(())
    }

    /// Removes and returns the acks whose messages are in history, up to the id `up_to`.
    pub fn persisted(&mut self, up_to: Id) -> Vec<Persisting> {
        self.persisting
            .extract_if(.., |p| p.sent.id <= up_to)
            .collect()
    }

    /// Removes and returns the acks that have waited for history since before a time, in ms since
    /// boot.
    pub fn unpersisted(&mut self, before_ms: u64) -> Vec<Persisting> {
        self.persisting
            .extract_if(.., |p| p.since_ms < before_ms)
            .collect()
    }
}
