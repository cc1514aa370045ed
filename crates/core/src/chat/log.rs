//! The log as this server sees it: for each partition the fold, tail, mark and waiting sends.
//!
//! The reader's thread feeds it. Sends are looked up and published through it. Reads use its tails.
//! A short mutex guards each partition's state; it is never held across an await.

pub mod barrier;
#[cfg(test)]
mod ending;
pub mod entry;
pub mod fold;
mod freshness;
mod health;
mod lag;
pub mod partition;
mod partition_log;
pub mod pending;
pub mod reader;
pub mod record;
mod refold;
mod skew;
pub mod stopped;
pub mod tail;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};

use super::clock::boot_ms;
use crate::domain::{ChannelName, ClientMsgId, Code, Partition, Problem, UserName};
use crate::ports::broker::{LogRecord, Offset, OutgoingRecord, PublishFailure};
use crate::ports::history::Mark;
use crate::ports::{Broker, PortError};
use entry::Entry;
use fold::{KeyHasher, WindowMatch};
use pending::{DEADLINE_MS, Own, PERSIST_DEADLINE_MS, Persisting, Sent, Waiter};
use record::{Digest, Record};
use skew::Moment;
use stopped::StoppedPartitions;
use tail::Budget;

pub use partition_log::{PartitionLog, SendOutcome, decode_record};
pub use refold::Refold;

/// The memory limits of the log.
#[derive(Clone, Copy, Debug)]
pub struct MemoryBounds {
    /// The limit of all tails together.
    pub tail_bytes: usize,
    /// The limit of all windows together. Above it sends are refused, because a window that evicts
    /// early would accept retries.
    pub window_bytes: usize,
}

/// Every partition of the log.
pub struct Log {
    broker: Arc<dyn Broker>,
    partitions: Vec<PartitionSlot>,
    /// Shared by all windows, so that a key is the same in every fold of this process.
    hasher: KeyHasher,
    budget: Arc<Budget>,
    stopped: StoppedPartitions,
    window_limit_bytes: usize,
    window_bytes: AtomicUsize,
    next_ticket: AtomicU64,
    /// How many times in a row the marks were read from history.
    mark_reads: watch::Sender<u32>,
    /// When the reader last polled the log, ms since boot.
    read_ms: AtomicU64,
}

struct PartitionSlot {
    state: Mutex<PartitionLog>,
    /// The next offset to fold. Every record below it was folded, delivered and acked.
    position: watch::Sender<Offset>,
    /// One past the last record that was added to the tail.
    filled: watch::Sender<Offset>,
    mark: watch::Sender<Mark>,
    /// An ack waits for history.
    awaits_history: Notify,
}

/// Most acks that may wait for history in a partition. Any further one fails at once with
/// [`Code::PersistTimeout`].
const MAX_PERSISTING: usize = 10_000;

/// The low bits of a ticket hold the partition.
const TICKET_PARTITION_BITS: u32 = 10;

impl Log {
    pub fn new(broker: Arc<dyn Broker>, bounds: MemoryBounds) -> Arc<Log> {
        let count = broker.partitions();
        let budget = Arc::new(Budget::new(bounds.tail_bytes, count));
        let hasher = KeyHasher::default();
        let stopped = StoppedPartitions::default();
        let slot = |p| PartitionSlot {
            state: Mutex::new(PartitionLog::new(
                Partition(p),
                hasher.clone(),
                budget.clone(),
                stopped.clone(),
            )),
            position: watch::Sender::new(0),
            filled: watch::Sender::new(0),
            mark: watch::Sender::new(Mark::default()),
            awaits_history: Notify::new(),
        };
        let log = Arc::new(Log {
            partitions: (0..count).map(slot).collect(),
            window_limit_bytes: bounds.window_bytes,
            window_bytes: AtomicUsize::new(0),
            next_ticket: AtomicU64::new(1),
            mark_reads: watch::Sender::new(0),
            read_ms: AtomicU64::new(boot_ms()),
            broker: broker.clone(),
            hasher,
            budget,
            stopped,
        });
        // Weak: the log owns the broker, so an `Arc` in the handler would be a cycle.
        let weak = Arc::downgrade(&log);
        broker.on_publish_failure(Arc::new(move |failed| {
            if let Some(log) = weak.upgrade() {
                log.publish_failed(failed);
            }
        }));
        log
    }

    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The partitions that are stopped on this server.
    pub fn stopped_partitions(&self) -> &StoppedPartitions {
        &self.stopped
    }

    pub fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.broker.partitions()).map(Partition)
    }

    pub fn partition_of(&self, channel: &ChannelName) -> Partition {
        partition::of(channel, self.broker.partitions())
    }

    /// Locks a partition's state. Don't hold the lock during anything slow.
    pub fn lock(&self, partition: Partition) -> MutexGuard<'_, PartitionLog> {
        self.partitions[partition.index()]
            .state
            .lock()
            .expect("no panic while held")
    }

    /// The next offset to fold, as a watch.
    pub fn position(&self, partition: Partition) -> watch::Receiver<Offset> {
        self.partitions[partition.index()].position.subscribe()
    }

    /// One past the last record that was added to the tail, as a watch. It advances before
    /// [`Log::position`] does.
    pub fn filled(&self, partition: Partition) -> watch::Receiver<Offset> {
        self.partitions[partition.index()].filled.subscribe()
    }

    /// Waits until an ack of this partition waits for history; returns at once if one has begun to
    /// since the last call.
    pub async fn awaits_history(&self, partition: Partition) {
        self.partitions[partition.index()]
            .awaits_history
            .notified()
            .await;
    }

    /// The newest known mark.
    pub fn mark(&self, partition: Partition) -> Mark {
        *self.partitions[partition.index()].mark.borrow()
    }

    /// The newest known mark, as a watch, for an ack that waits for history: the archiver is told to
    /// store at once.
    pub fn watch_mark(&self, partition: Partition) -> watch::Receiver<Mark> {
        let partition = &self.partitions[partition.index()];
        let mark = partition.mark.subscribe();
        partition.awaits_history.notify_one();
        mark
    }

    /// Folds records of one partition. Pass the outcomes to [`Log::resolve`] after the entries are
    /// delivered.
    pub fn fold(
        &self,
        partition: Partition,
        records: Vec<LogRecord>,
    ) -> (Vec<Arc<Entry>>, Vec<SendOutcome>) {
        let count = self.broker.partitions();
        let last = records.last().map(|last| (last.offset, last.append_ms));
        let decoded: Vec<_> = records
            .into_iter()
            .map(|record| partition_log::decode(partition, count, record))
            .collect();
        let archived = self.mark(partition).offset;
        let read = self.moment();
        let folded = self.counting_window(partition, |state| {
            let folded = state.fold(decoded);
            if let Some((offset, append_ms)) = last {
                state.skew.measure_any(offset, append_ms, read);
            }
            // More precise: this server knows when it received them.
            for own in &folded.1 {
                state.skew.measure(own.received_at_ms, own.append_ms, read);
            }
            // By memory only: evicting by age is left to the tick.
            state.tail.evict_archived(archived, 0);
            folded
        });
        folded.0.iter().for_each(|entry| report(partition, entry));
        self.shrink_tails();
        if let Some(last) = folded.0.last() {
            let filled = &self.partitions[partition.index()].filled;
            filled.send_replace(last.offset + 1);
        }
        folded
    }

    fn moment(&self) -> Moment {
        Moment {
            wall_ms: self.broker.now_ms(),
            boot_ms: boot_ms(),
        }
    }

    /// Brings the tails back to their limit. Archived records of all partitions go first; then each
    /// partition keeps its share.
    fn shrink_tails(&self) {
        let archived = |p| self.mark(p).offset;
        for p in self.partitions() {
            if !self.budget.is_spent() {
                return;
            }
            self.lock(p).tail.evict_archived(archived(p), 0);
        }
        for p in self.partitions() {
            self.lock(p).tail.evict_to_share(archived(p));
        }
    }

    /// Changes a partition's state, and adds the growth of its window to the sum of all windows.
    fn counting_window<T>(
        &self,
        partition: Partition,
        change: impl FnOnce(&mut PartitionLog) -> T,
    ) -> T {
        let mut state = self.lock(partition);
        let before = state.fold.window().bytes();
        let done = change(&mut state);
        let after = state.fold.window().bytes();
        drop(state);
        // The atomic wraps too, so this also subtracts when the window has shrunk.
        self.window_bytes
            .fetch_add(after.wrapping_sub(before), Relaxed);
        done
    }

    /// Publishes that everything below an offset was folded, delivered and acked. The position of a
    /// stopped partition doesn't advance, because its tail may lack records.
    pub fn advance(&self, partition: Partition, position: Offset) {
        let reached = self.counting_window(partition, |state| state.advance(position));
        self.partitions[partition.index()]
            .position
            .send_if_modified(|p| {
                let moved = reached && *p < position;
                if moved {
                    *p = position;
                }
                // A stopped partition never reaches the offset: wake its waiters so that they fail.
                moved || !reached
            });
    }

    /// Stops a partition: nothing of it is folded, delivered or archived until an operator acts.
    /// Wakes its waiters, so that they fail.
    pub fn stop(&self, partition: Partition, reason: String) {
        self.lock(partition).stop(reason);
        self.advance(partition, 0);
    }

    /// Acks or refuses this server's sends according to the verdicts on their records.
    pub fn resolve(&self, partition: Partition, outcomes: Vec<SendOutcome>) {
        for SendOutcome {
            waiter,
            id,
            verdict,
            ..
        } in outcomes
        {
            if let Some(persisting) = waiter.complete(pending::outcome(id, verdict)) {
                self.wait_for_history(partition, persisting);
            }
        }
    }

    /// Applies the marks that were read from history, one per partition. An old mark is ignored; a
    /// newer one lets the tail evict archived records. `Stops` stops every partition.
    pub fn learn_marks(&self, read: Result<Vec<Mark>, PortError>) -> Result<(), PortError> {
        if let Err(error @ PortError::Stops { .. }) = &read {
            self.partitions()
                .for_each(|partition| self.stop(partition, error.to_string()));
        }
        let reads = if read.is_ok() {
            self.mark_reads.borrow().wrapping_add(1)
        } else {
            0
        };
        let learned = read.map(|marks| {
            let marks = self.partitions().zip(marks);
            marks.for_each(|(partition, mark)| self.learn_mark(partition, mark));
        });
        self.mark_reads.send_replace(reads);
        learned
    }

    /// How many times in a row the marks were read from history, as a watch.
    pub fn mark_reads(&self) -> watch::Receiver<u32> {
        self.mark_reads.subscribe()
    }

    /// Applies a mark that was read or written, if it is newer than the known one.
    pub fn learn_mark(&self, partition: Partition, mark: Mark) {
        let newer = self.partitions[partition.index()]
            .mark
            .send_if_modified(|known| {
                // A mark at offset 0 may still hold the id after which the log's ids begin.
                let newer = (known.offset, known.id) < (mark.offset, mark.id);
                if newer {
                    *known = mark;
                }
                newer
            });
        if newer {
            self.lock(partition).check_mark(mark);
            self.tell_persisted(partition);
        }
    }

    /// Acks once history has the message, immediately if it already does.
    fn wait_for_history(&self, partition: Partition, persisting: Persisting) {
        let mut state = self.lock(partition);
        // `learn_mark` publishes a mark before it takes this lock to collect the acks. Therefore
        // either this check sees the mark, or `learn_mark` finds this ack.
        if persisting.sent.id <= self.mark(partition).id {
            drop(state);
            persisting.done();
        } else if state.persisting.len() >= MAX_PERSISTING {
            drop(state);
            persisting.give_up();
        } else {
            state.persisting.push(persisting.since(boot_ms()));
            drop(state);
            self.partitions[partition.index()]
                .awaits_history
                .notify_one();
        }
    }

    fn tell_persisted(&self, partition: Partition) {
        let mark = self.mark(partition);
        let done = self.lock(partition).persisted(mark.id);
        done.into_iter().for_each(|p| p.done());
    }

    /// Answers a retry from the window. Returns the waiter if the window has no send of this key.
    pub fn answer(
        &self,
        channel: &ChannelName,
        sender: &UserName,
        client_msg_id: &ClientMsgId,
        digest: Digest,
        waiter: Waiter,
    ) -> Result<Option<Waiter>, Problem> {
        let partition = self.partition_of(channel);
        let key = self.hasher.key(channel, sender, client_msg_id);
        let found = self.lock(partition).fold.window().lookup(key, digest);
        self.answer_match(partition, found, waiter)
    }

    fn answer_match(
        &self,
        partition: Partition,
        found: WindowMatch,
        waiter: Waiter,
    ) -> Result<Option<Waiter>, Problem> {
        match found {
            WindowMatch::Unknown => Ok(Some(waiter)),
            WindowMatch::Other(_) => Err(pending::conflict()),
            WindowMatch::TooOld => Err(pending::expired()),
            WindowMatch::Same(id) => {
                metrics::counter!("lakechat_sends_total", "result" => "repeat").increment(1);
                let sent = Sent {
                    id,
                    duplicate: true,
                };
                if let Some(persisting) = waiter.complete(Ok(sent)) {
                    self.wait_for_history(partition, persisting);
                }
                Ok(None)
            }
        }
    }

    /// Publishes a record, unless it is a retry that the window can answer.
    ///
    /// `waiter` gets the outcome, at once or when the record is folded. On `Err` it gets nothing.
    ///
    /// `admit` checks rights and limits. It runs after the window's lookup, so that they never
    /// refuse a retry. It runs under the partition's lock and must not take it.
    pub fn publish(
        &self,
        record: &Record,
        waiter: Waiter,
        admit: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let Record {
            channel,
            sender,
            digest,
            received_at_ms,
            ..
        } = record;
        let client_msg_id = record
            .client_msg_id
            .as_ref()
            .expect("what is published has one");
        let partition = self.partition_of(channel);
        let own = Own {
            key: self.hasher.key(channel, sender, client_msg_id),
            digest: *digest,
            received_at_ms: *received_at_ms,
        };
        let ticket = self.ticket(partition);
        let window_full = self.window_full();

        let mut state = self.lock(partition);
        let found = state.fold.window().lookup(own.key, own.digest);
        if found != WindowMatch::Unknown {
            drop(state);
            return self.answer_match(partition, found, waiter).map(drop);
        }
        state.may_publish(*received_at_ms, window_full)?;
        admit()?;
        // Before the publish: the reader may get the record at once, and must find the waiter.
        state.pending.add(own, ticket, boot_ms(), waiter);
        drop(state);

        let outgoing = OutgoingRecord {
            partition,
            key: channel.as_str().to_owned().into(),
            value: record.encode().into(),
            ticket,
        };
        self.broker.publish(outgoing).map_err(|error| {
            // The error goes to the caller instead of the waiter.
            drop(self.lock(partition).pending.failed(ticket));
            refused(error)
        })
    }

    /// Checks whether a record may be published to a partition now.
    pub fn check_publish(&self, partition: Partition) -> Result<(), Problem> {
        let now_ms = self.broker.now_ms();
        self.lock(partition).may_publish(now_ms, self.window_full())
    }

    /// The limit of all windows together.
    pub fn window_limit_bytes(&self) -> usize {
        self.window_limit_bytes
    }

    fn window_full(&self) -> bool {
        self.window_bytes.load(Relaxed) > self.window_limit_bytes
    }

    fn ticket(&self, partition: Partition) -> u64 {
        self.next_ticket.fetch_add(1, Relaxed) << TICKET_PARTITION_BITS | u64::from(partition.0)
    }

    fn publish_failed(&self, failed: PublishFailure) {
        let partition = (failed.ticket & ((1 << TICKET_PARTITION_BITS) - 1)) as usize;
        let Some(slot) = self.partitions.get(partition) else {
            return;
        };
        let waiter = slot
            .state
            .lock()
            .expect("no panic while held")
            .pending
            .failed(failed.ticket);
        let result = if failed.refused { "refused" } else { "unknown" };
        metrics::counter!("lakechat_publish_failures_total", "result" => result).increment(1);
        tracing::warn!(partition, refused = failed.refused, reason = %failed.reason, "a send failed");
        let problem = if failed.refused {
            Problem::new(
                Code::BrokerUnavailable,
                "The log isn't accepting messages right now; try again.",
            )
            .retry_after_ms(1_000)
        } else {
            pending::unknown_outcome()
        };
        if let Some(waiter) = waiter {
            // An error never waits for history, so there is no ack to keep.
            drop(waiter.complete(Err(problem)));
        }
    }

    /// Fails sends and acks that have waited too long, and evicts old records from the tails.
    /// `now_ms`: ms since boot. `keep_ms`: how long archived records stay in the tail.
    pub fn tick(&self, now_ms: u64, keep_ms: u64) {
        let keep_from_ms = self.broker.now_ms().saturating_sub(keep_ms);
        let kept = self.broker.retention();
        for (slot, partition) in self.partitions.iter().zip(self.partitions()) {
            let mark = *slot.mark.borrow();
            let mut state = self.lock(partition);
            state.look_at_lag(mark, self.broker.now_ms(), kept);
            let overdue = state.pending.overdue(now_ms.saturating_sub(DEADLINE_MS));
            let unpersisted = state.unpersisted(now_ms.saturating_sub(PERSIST_DEADLINE_MS));
            state.tail.evict_archived(mark.offset, keep_from_ms);
            drop(state);
            for waiter in overdue {
                metrics::counter!("lakechat_sends_total", "result" => "unknown").increment(1);
                drop(waiter.complete(Err(pending::unknown_outcome())));
            }
            unpersisted.into_iter().for_each(|p| p.give_up());
        }
        self.shrink_tails();
        self.gauge();
    }
}

/// The problem that the sender of a refused publish gets.
fn refused(error: PortError) -> Problem {
    Problem::new(
        Code::BrokerUnavailable,
        "The log isn't accepting messages right now; try again.",
    )
    .retry_after_ms(1_000)
    .cause(error)
}

/// Counts a folded record, and reports one that is unreadable.
fn report(partition: Partition, entry: &Entry) {
    metrics::counter!("lakechat_records_total", "verdict" => entry.verdict.as_str()).increment(1);
    if let Some(dead) = &entry.dead {
        let (partition, offset, reason) = (partition.0, entry.offset, &*dead.reason);
        tracing::error!(
            partition,
            offset,
            reason,
            "a record of the log is unreadable"
        );
    }
}
