//! One partition: what was folded, what is kept of it, and who waits.

use std::sync::Arc;
use std::time::Duration;

use super::entry::Entry;
use super::fold::{Fold, KeyHasher, Verdict};
use super::freshness::Freshness;
use super::lag::Lag;
use super::partition;
use super::pending::{Own, Pending, Persisting, Waiter};
use super::record::{NotARecord, Record};
use super::tail::{Budget, Tail};
use crate::domain::{Code, Id, Partition, Problem};
use crate::ports::broker::{DeadLetter, LogRecord, Offset};
use crate::ports::history::Mark;

/// A record of the log with what it says, if it says anything by the rules.
pub struct Decoded {
    offset: Offset,
    append_ms: u64,
    content: Content,
}

enum Content {
    Record(Record),
    Unreadable(Box<DeadLetter>),
    /// Of a version that this release can't read.
    Newer(u64),
}

/// Holds a log record against the rules of its version and of this partition.
pub fn decode(partition: Partition, count: u16, record: LogRecord) -> Decoded {
    let (offset, append_ms) = (record.offset, record.append_ms);
    let decoded = Record::decode(&record.key, &record.value).and_then(|decoded| {
        let here = partition::of(&decoded.channel, count) == partition;
        let elsewhere = NotARecord::Unreadable("its channel belongs to another partition");
        here.then_some(decoded).ok_or(elsewhere)
    });
    let content = match decoded {
        Ok(record) => Content::Record(record),
        Err(NotARecord::Newer(version)) => Content::Newer(version),
        Err(NotARecord::Unreadable(reason)) => Content::Unreadable(Box::new(DeadLetter {
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

/// Somebody who waited for a record, and what the fold said of it.
#[derive(Debug)]
pub struct Told {
    pub waiter: Waiter,
    pub id: Id,
    pub verdict: Verdict,
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
    hasher: KeyHasher,
    /// Whether the fold is told from which id to begin; otherwise from the beginning of time.
    stepped_back: bool,
    /// Records that were folded to warm up.
    warmed: u64,
    /// What was read to warm up has to be read once more.
    again: bool,
    /// Everything below was folded, though perhaps not yet delivered.
    folded_to: Offset,
    folded_any: bool,
    /// Why nothing of this partition is read any more, until an operator has looked.
    pub stopped: Option<String>,
    /// Why the archiver stores nothing of it any more, until an operator has looked.
    pub archive_stopped: Option<String>,
    /// A mark that the fold has not reached yet: it must mint the same id there.
    awaited: Option<Mark>,
    /// Below it records only warm the fold up: history has them, and what is said of them may
    /// still differ from what was said when all that stood before them was known.
    serves_from: Offset,
}

impl PartitionLog {
    pub fn new(partition: Partition, hasher: KeyHasher, budget: Arc<Budget>) -> PartitionLog {
        PartitionLog {
            partition,
            fold: Fold::new(partition, Id::ZERO, hasher.clone()),
            hasher,
            stepped_back: false,
            warmed: 0,
            again: false,
            folded_to: 0,
            folded_any: false,
            tail: Tail::new(budget, Id::ZERO, 0),
            pending: Pending::default(),
            persisting: Vec::new(),
            freshness: Freshness::default(),
            lag: Lag::default(),
            stopped: None,
            archive_stopped: None,
            awaited: None,
            serves_from: 0,
        }
    }

    /// Begins to read somewhere at or below the mark from which records are served.
    pub fn begin(&mut self, mark: Mark, budget: Arc<Budget>) {
        self.tail = Tail::new(budget, mark.id, mark.offset);
        self.serves_from = mark.offset;
        self.awaited = Some(mark);
    }

    /// The last id of what history or this log has: the mark's as long as nothing was read behind it.
    pub fn last_id(&self) -> Id {
        self.fold.last_id().max(self.tail.above())
    }

    pub fn fold(
        &mut self,
        records: Vec<Decoded>,
        archived: Offset,
    ) -> (Vec<Arc<Entry>>, Vec<Told>) {
        let mut entries = Vec::with_capacity(records.len());
        let mut told = Vec::new();
        for Decoded {
            offset,
            append_ms,
            content,
        } in records
        {
            self.meet(offset);
            if self.stopped.is_some() || self.again {
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
            self.folded_any = true;
            self.folded_to = offset + 1;
            if offset < self.serves_from {
                self.warmed += 1;
                continue;
            }
            metrics::counter!("lakechat_records_total", "verdict" => verdict.as_str()).increment(1);
            told.extend(self.waiter_of(record.as_ref(), id, verdict));
            let entry = Arc::new(match dead {
                Some(dead) => self.unreadable(id, dead),
                None => Entry::new(offset, append_ms, id, verdict, record),
            });
            self.tail.push(entry.clone(), archived);
            entries.push(entry);
        }
        (entries, told)
    }

    fn unreadable(&self, id: Id, dead: Box<DeadLetter>) -> Entry {
        let (partition, offset) = (self.partition.0, dead.record.offset);
        let reason = &*dead.reason;
        tracing::error!(
            partition,
            offset,
            reason,
            "a record of the log is unreadable"
        );
        Entry::unreadable(id, dead)
    }

    fn waiter_of(&mut self, record: Option<&Record>, id: Id, verdict: Verdict) -> Option<Told> {
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
        Some(Told {
            waiter,
            id,
            verdict,
        })
    }

    /// Before anything at or behind an offset is folded: whether the mark's id was minted below it.
    fn meet(&mut self, offset: Offset) {
        if self.again {
            // The place of the first reading says nothing of the second.
            return;
        }
        let Some(mark) = self.awaited.take_if(|mark| mark.offset <= offset) else {
            return;
        };
        let minted = self.fold.last_id();
        if !self.folded_any {
            // Nothing is kept below the mark: clock and step are the mark's.
            self.fold = Fold::new(self.partition, mark.id, self.hasher.clone());
        } else if mark.id != minted && mark.offset == self.serves_from && !self.stepped_back {
            self.step_back(mark);
        } else {
            self.hold_against(mark, minted);
        }
    }

    /// Where the clock stood ahead of all that was read to warm up, none of it has set the clock:
    /// each record was a step. So the fold began as many ids below the mark's as it read records,
    /// and it is the same log if the mark's id comes out of a second reading from there.
    fn step_back(&mut self, mark: Mark) {
        let last = mark.id.stepped_back(self.warmed);
        self.fold = Fold::new(self.partition, last, self.hasher.clone());
        self.stepped_back = true;
        self.again = true;
        self.folded_any = false;
        self.folded_to = 0;
        self.warmed = 0;
        self.awaited = Some(mark);
    }

    /// Whether what was read to warm up has to be read once more, from where it began.
    pub fn take_again(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }

    /// Everything below an offset was folded; false if that is not so: the partition is stopped, or
    /// has to be read once more.
    pub fn reached(&mut self, position: Offset) -> bool {
        self.meet(position);
        if self.stopped.is_some() || self.again {
            return false;
        }
        self.folded_to = self.folded_to.max(position);
        self.freshness.passed(position);
        true
    }

    /// Holds a mark against what was minted, at once or when the fold comes to it.
    pub fn check_mark(&mut self, mark: Mark) {
        if mark.offset > self.folded_to {
            self.awaited.get_or_insert(mark);
        } else if self.tail.begins_at() <= mark.offset {
            let last = self.tail.last_below(mark.offset);
            let minted = last.map_or(self.tail.above(), |entry| entry.id);
            self.hold_against(mark, minted);
        }
    }

    fn hold_against(&mut self, mark: Mark, minted: Id) {
        if mark.id != Id::ZERO && mark.id != minted {
            self.stop(format!(
                "history was written up to offset {} from a log in which the id there is {}, and \
                 in this one it is {minted}: this is another log (`lakechat log adopt --help`)",
                mark.offset, mark.id
            ));
        }
    }

    /// Looks how long what history does not have has waited. `kept`: how long the log keeps it.
    pub fn look_at_lag(&mut self, mark: Mark, now_ms: u64, kept: Option<Duration>) {
        if mark.offset >= self.folded_to {
            return self.lag.end();
        }
        let oldest = self.tail.from(mark.offset, 1);
        let oldest_ms = oldest.and_then(|oldest| Some(oldest.first()?.append_ms));
        self.lag.look(oldest_ms, mark.time_ms, now_ms, kept);
    }

    pub fn stop(&mut self, reason: String) {
        if self.stopped.is_some() {
            return;
        }
        tracing::error!(partition = self.partition.0, %reason, "a partition of the log is stopped");
        self.stopped = Some(format!("partition {}: {reason}", self.partition));
    }

    /// Whether a send may be published here now. A full window takes what lets go of something.
    pub fn may_publish(&self, now_ms: u64, window_full: bool) -> Result<(), Problem> {
        let refuse = |reason: &'static str| {
            Err(Problem::new(Code::BrokerUnavailable, reason).retry_after_ms(1_000))
        };
        if self.stopped.is_some() {
            return refuse("This part of the log is stopped; its operator has to look.");
        }
        if self.lag.refuses() {
            return refuse("History is too far behind the log; its operator has to look.");
        }
        if window_full && !self.fold.window().lets_go_at(now_ms) {
            return refuse("Too many messages in the last ten minutes; later there is room again.");
        }
        if !self.freshness.is_fresh() {
            return refuse("This server is not up to date with the log; try again.");
        }
        Ok(())
    }

    /// Acks whose message history has.
    pub fn persisted(&mut self, up_to: Id) -> Vec<Persisting> {
        self.persisting
            .extract_if(.., |p| p.sent.id <= up_to)
            .collect()
    }

    /// Acks that have waited for history since before a time.
    pub fn unpersisted(&mut self, before_ms: u64) -> Vec<Persisting> {
        self.persisting
            .extract_if(.., |p| p.since_ms < before_ms)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::log::fold::WARM_UP_MS;
    use crate::chat::log::record::Body;
    use crate::domain::{ChannelName, ClientMsgId, UserName};

    const PARTITION: Partition = Partition(3);
    const START_MS: u64 = 1_790_000_000_000;
    const MINUTE: u64 = 60_000;

    /// One message a minute, each sent twice.
    fn record(n: u64) -> Decoded {
        let append_ms = START_MS + n * MINUTE;
        let body = Body::Message {
            text: "hi".to_owned(),
            reply_to: None,
            file: None,
        };
        let record = Record {
            channel: ChannelName::parse("ops").expect("a name"),
            private: false,
            sender: UserName::parse("ann").expect("a name"),
            client_msg_id: ClientMsgId::parse(&(n / 2).to_string()).ok(),
            digest: body.digest(),
            received_at_ms: append_ms,
            body,
        };
        Decoded {
            offset: n,
            append_ms,
            content: Content::Record(record),
        }
    }

    fn budget() -> Arc<Budget> {
        Arc::new(Budget::new(1 << 20, 1))
    }

    fn begun_at(mark: Mark) -> PartitionLog {
        let mut log = PartitionLog::new(PARTITION, KeyHasher::default(), budget());
        log.begin(mark, budget());
        log
    }

    fn said(entries: Vec<Arc<Entry>>) -> Vec<(Offset, Id, Verdict)> {
        let of = |entry: Arc<Entry>| (entry.offset, entry.id, entry.verdict);
        entries.into_iter().map(of).collect()
    }

    #[test]
    fn a_start_behind_a_floor_ahead_of_the_log_reads_again_and_goes_on_alike() {
        let floor = Mark {
            id: Id::mint(START_MS + 24 * 60 * MINUTE, PARTITION, 4_090),
            ..Mark::default()
        };
        let whole = said(begun_at(floor).fold((0..60).map(record).collect(), 0).0);
        assert!(whole[0].1 > floor.id && whole[59].2 == Verdict::Repeat(whole[58].1));

        let mark = Mark {
            offset: 57,
            id: whole[56].1,
            time_ms: START_MS + 56 * MINUTE,
        };
        let from = 56 - WARM_UP_MS / MINUTE;
        let mut log = begun_at(mark);
        assert!(said(log.fold((from..60).map(record).collect(), 0).0).is_empty());
        assert!(log.take_again() && !log.take_again());
        let entries = log.fold((from..60).map(record).collect(), 0).0;
        assert_eq!(log.stopped, None);
        assert_eq!(said(entries), whole[57..]);
    }

    #[test]
    fn last_id_is_the_marks_where_nothing_is_kept_below_it() {
        let mark = Mark {
            offset: 57,
            id: Id::mint(START_MS, PARTITION, 3),
            time_ms: START_MS,
        };
        let mut log = begun_at(mark);
        assert_eq!(log.last_id(), mark.id);
        let entries = log.fold(vec![record(57)], 0).0;
        assert_eq!(log.last_id(), entries[0].id);
        assert!(entries[0].id > mark.id);
    }

    #[test]
    fn another_log_is_told_apart_also_by_a_second_reading() {
        let mark = Mark {
            offset: 57,
            // Of the same partition, and long before what the log says there.
            id: Id::mint(START_MS - MINUTE, PARTITION, 0),
            time_ms: START_MS + 56 * MINUTE,
        };
        let mut log = begun_at(mark);
        for _ in 0..2 {
            assert!(log.fold((30..60).map(record).collect(), 0).0.is_empty());
            log.take_again();
        }
        let reason = log.stopped.expect("stopped");
        assert!(reason.contains("another log"), "{reason}");
        assert!(!log.again);
    }
}
