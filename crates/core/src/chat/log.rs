//! The log as this server knows it: for each partition the fold, the tail, and who waits for what.
//!
//! The reader's thread feeds it, sends are looked up and published through it, reads take from its
//! tails. A partition's state is one short lock; nobody holds it over an await.

pub mod barrier;
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
pub mod tail;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::clock::boot_ms;
use crate::domain::{ChannelName, ClientMsgId, Code, Partition, Problem, UserName};
use crate::ports::broker::{LogRecord, Offset, OutgoingRecord, PublishFailure};
use crate::ports::history::Mark;
use crate::ports::{Broker, PortError};
use entry::Entry;
use fold::{KeyHasher, WindowMatch};
use pending::{DEADLINE_MS, Own, PERSIST_DEADLINE_MS, Persisting, Sent, Waiter};
use record::{Digest, Record};
use tail::Budget;

pub use partition_log::{PartitionLog, SendOutcome};
pub use refold::Refold;

/// How much memory goes to what the log says.
#[derive(Clone, Copy, Debug)]
pub struct MemoryBounds {
    /// All tails together.
    pub tail_bytes: usize,
    /// All windows together; over it sends are refused, for a window never forgets in silence.
    pub window_bytes: usize,
}

/// Every partition of the log.
pub struct Log {
    broker: Arc<dyn Broker>,
    partitions: Vec<PartitionSlot>,
    /// Keeps the keys of all windows alike for the life of the process.
    hasher: KeyHasher,
    budget: Arc<Budget>,
    window_limit_bytes: usize,
    window_bytes: AtomicUsize,
    next_ticket: AtomicU64,
    /// When the reader asked the log last, ms since boot.
    read_ms: AtomicU64,
    /// Why the last question for the log's end failed, if it did.
    last_end_error: Mutex<Option<String>>,
}

struct PartitionSlot {
    state: Mutex<PartitionLog>,
    /// The next offset to be folded: everything below is in the tail, delivered and acked.
    position: watch::Sender<Offset>,
    /// Behind the last record that the tail was given.
    filled: watch::Sender<Offset>,
    mark: watch::Sender<Mark>,
}

/// Acks that wait for history in a partition; more are told at once that it takes too long.
const MAX_PERSISTING: usize = 10_000;

/// The low bits of a ticket are its partition.
const TICKET_PARTITION_BITS: u32 = 10;

impl Log {
    pub fn new(broker: Arc<dyn Broker>, bounds: MemoryBounds) -> Arc<Log> {
        let count = broker.partitions();
        let budget = Arc::new(Budget::new(bounds.tail_bytes, count));
        let hasher = KeyHasher::default();
        let slot = |p| PartitionSlot {
            state: Mutex::new(PartitionLog::new(
                Partition(p),
                hasher.clone(),
                budget.clone(),
            )),
            position: watch::Sender::new(0),
            filled: watch::Sender::new(0),
            mark: watch::Sender::new(Mark::default()),
        };
        let log = Arc::new(Log {
            partitions: (0..count).map(slot).collect(),
            window_limit_bytes: bounds.window_bytes,
            window_bytes: AtomicUsize::new(0),
            next_ticket: AtomicU64::new(1),
            read_ms: AtomicU64::new(boot_ms()),
            last_end_error: Mutex::default(),
            broker: broker.clone(),
            hasher,
            budget,
        });
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

    pub fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.broker.partitions()).map(Partition)
    }

    pub fn partition_of(&self, channel: &ChannelName) -> Partition {
        partition::of(channel, self.broker.partitions())
    }

    /// A partition's state. Not to be held over anything slow.
    pub fn lock(&self, partition: Partition) -> MutexGuard<'_, PartitionLog> {
        self.partitions[partition.index()]
            .state
            .lock()
            .expect("no panic while held")
    }

    /// The next offset to be folded.
    pub fn position(&self, partition: Partition) -> watch::Receiver<Offset> {
        self.partitions[partition.index()].position.subscribe()
    }

    /// Behind the last record of the partition itself; moves before the position does.
    pub fn filled(&self, partition: Partition) -> watch::Receiver<Offset> {
        self.partitions[partition.index()].filled.subscribe()
    }

    /// The newest mark that is known.
    pub fn mark(&self, partition: Partition) -> Mark {
        *self.partitions[partition.index()].mark.borrow()
    }

    /// Folds records of one partition. The outcomes go to [`Log::resolve`] after the entries were
    /// delivered.
    pub fn fold(
        &self,
        partition: Partition,
        records: Vec<LogRecord>,
    ) -> (Vec<Arc<Entry>>, Vec<SendOutcome>) {
        let count = self.broker.partitions();
        let decoded: Vec<_> = records
            .into_iter()
            .map(|record| partition_log::decode(partition, count, record))
            .collect();
        let archived = self.mark(partition).offset;
        let folded = self.counting_window(partition, |state| state.fold(decoded, archived));
        if let Some(last) = folded.0.last() {
            let filled = &self.partitions[partition.index()].filled;
            filled.send_replace(last.offset + 1);
        }
        folded
    }

    /// Changes a partition's state, and the sum of all windows by what that did to its own.
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
        self.window_bytes
            .fetch_add(after.wrapping_sub(before), Relaxed);
        done
    }

    /// Says that everything below an offset was folded, delivered and told. Not so where the
    /// partition is stopped: then nobody may believe that its tail has all.
    pub fn advance(&self, partition: Partition, position: Offset) {
        let reached = self.counting_window(partition, |state| state.advance(position));
        self.partitions[partition.index()]
            .position
            .send_if_modified(|p| {
                let moved = reached && *p < position;
                if moved {
                    *p = position;
                }
                // Who waits for a stopped partition waits in vain: it wakes up to see that.
                moved || !reached
            });
    }

    /// Nothing of the partition is read on, told or stored until an operator has looked. Who waits for
    /// it wakes up.
    pub fn stop(&self, partition: Partition, reason: String) {
        self.lock(partition).stop(reason);
        self.advance(partition, 0);
    }

    /// Acks or refuses sends of this server by the verdicts on their records.
    pub fn resolve(&self, partition: Partition, outcomes: Vec<SendOutcome>) {
        for SendOutcome {
            waiter,
            id,
            verdict,
        } in outcomes
        {
            if let Some(persisting) = waiter.tell(pending::outcome(id, verdict)) {
                self.wait_for_history(partition, persisting);
            }
        }
    }

    /// Takes in what history says of all marks: an old one is safe, a new one lets the tail go.
    pub fn learn_marks(&self, read: Result<Vec<Mark>, PortError>) -> Result<(), PortError> {
        if let Err(error @ PortError::Stops { .. }) = &read {
            self.partitions()
                .for_each(|partition| self.stop(partition, error.to_string()));
        }
        let marks = self.partitions().zip(read?);
        marks.for_each(|(partition, mark)| self.learn_mark(partition, mark));
        Ok(())
    }

    /// Takes in a mark that was read or written.
    pub fn learn_mark(&self, partition: Partition, mark: Mark) {
        let newer = self.partitions[partition.index()]
            .mark
            .send_if_modified(|known| {
                // At offset 0 the id alone says that the log goes on behind another one's.
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

    /// Acks when history has it, which may be now.
    fn wait_for_history(&self, partition: Partition, persisting: Persisting) {
        let mut state = self.lock(partition);
        // A mark is made known before it is looked for who waits: no wait is missed.
        if persisting.sent.id <= self.mark(partition).id {
            drop(state);
            persisting.done();
        } else if state.persisting.len() >= MAX_PERSISTING {
            drop(state);
            persisting.give_up();
        } else {
            state.persisting.push(persisting.since(boot_ms()));
        }
    }

    fn tell_persisted(&self, partition: Partition) {
        let mark = self.mark(partition);
        let done = self.lock(partition).persisted(mark.id);
        done.into_iter().for_each(|p| p.done());
    }

    /// Answers a retry from the window; hands the waiter back if the window has no send of this key.
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
        let found = self.lock(partition).fold.window().look(key, digest);
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
                if let Some(persisting) = waiter.tell(Ok(sent)) {
                    self.wait_for_history(partition, persisting);
                }
                Ok(None)
            }
        }
    }

    /// Publishes a record, unless it is a retry that the window can answer.
    ///
    /// `waiter` gets the outcome, now or when the record is folded; on `Err` it gets nothing. `admit`
    /// checks rights and limits: after the window, so that a retry is never refused for them. It runs
    /// under the partition's lock and must not take it.
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
        let window_full = self.window_bytes.load(Relaxed) > self.window_limit_bytes;

        let mut state = self.lock(partition);
        let found = state.fold.window().look(own.key, own.digest);
        if found != WindowMatch::Unknown {
            drop(state);
            return self.answer_match(partition, found, waiter).map(drop);
        }
        state.may_publish(*received_at_ms, window_full)?;
        admit()?;
        // Before the record is in the log: its reader must find who waits.
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
                "The log takes no messages now; try again.",
            )
            .retry_after_ms(1_000)
        } else {
            pending::unknown_outcome()
        };
        if let Some(waiter) = waiter {
            // An error is told at once.
            drop(waiter.tell(Err(problem)));
        }
    }

    /// Gives up on what has waited too long, and lets tails go of what is old. `now_ms`: since boot;
    /// `keep_ms`: how long archived records stay.
    pub fn tick(&self, now_ms: u64, keep_ms: u64) {
        let keep_from_ms = self.broker.now_ms().saturating_sub(keep_ms);
        let kept = self.broker.retention();
        for (slot, partition) in self.partitions.iter().zip(self.partitions()) {
            let mark = *slot.mark.borrow();
            let mut state = self.lock(partition);
            state.look_at_lag(mark, self.broker.now_ms(), kept);
            let overdue = state.pending.overdue(now_ms.saturating_sub(DEADLINE_MS));
            let unpersisted = state.unpersisted(now_ms.saturating_sub(PERSIST_DEADLINE_MS));
            state.tail.trim(mark.offset, keep_from_ms);
            drop(state);
            for waiter in overdue {
                metrics::counter!("lakechat_sends_total", "result" => "unknown").increment(1);
                drop(waiter.tell(Err(pending::unknown_outcome())));
            }
            unpersisted.into_iter().for_each(|p| p.give_up());
        }
        self.gauge();
    }
}

/// What a refused publish is to its sender.
fn refused(error: PortError) -> Problem {
    Problem::new(
        Code::BrokerUnavailable,
        "The log takes no messages now; try again.",
    )
    .retry_after_ms(1_000)
    .cause(error)
}
