//! Releases records to the producer at once while few are published, and together under load.
//!
//! Kafka's cost is that of requests more than that of records, and each release means a produce request for
//! each partition in it, and a fetch or two by every server. librdkafka's own `linger.ms` would delay
//! records while few are published, too.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use super::error::unavailable;
use super::pace::Pace;
use super::producer::Publisher;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::OutgoingRecord;
use lakechat_core::threads::OwnedThread;

/// Dropping it releases what waits.
pub(super) struct PacedPublisher {
    publisher: Arc<Publisher>,
    waiting: Arc<Waiting>,
    _thread: OwnedThread,
}

/// The records that wait to be released.
struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
    /// Full: further records are refused.
    limit_bytes: usize,
}

struct State {
    pace: Pace,
    /// In the order of the calls.
    held: Vec<OutgoingRecord>,
    bytes: usize,
    /// When held records are released: one pause after the release before.
    release_at: Instant,
    /// The thread passes on records that were held.
    is_releasing: bool,
    is_closed: bool,
}

impl PacedPublisher {
    /// `limit_bytes`: of records that wait.
    pub fn start(publisher: Publisher, limit_bytes: usize) -> io::Result<PacedPublisher> {
        let publisher = Arc::new(publisher);
        let now = Instant::now();
        let waiting = Arc::new(Waiting {
            state: Mutex::new(State {
                pace: Pace::new(now),
                held: Vec::new(),
                bytes: 0,
                release_at: now,
                is_releasing: false,
                is_closed: false,
            }),
            changed: Condvar::new(),
            limit_bytes,
        });
        let (from, to) = (Arc::clone(&waiting), Arc::clone(&publisher));
        let thread = OwnedThread::restarting("kafka-release", move || release(&from, &to))?;
        Ok(PacedPublisher {
            publisher,
            waiting,
            _thread: thread,
        })
    }

    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    pub fn publish(&self, record: OutgoingRecord) -> Result<(), PortError> {
        match self.waiting.hold(record, Instant::now())? {
            Some(record) => self.publisher.publish(&record),
            None => Ok(()),
        }
    }

    /// Sets the gauge of records that wait or are in flight.
    pub fn record_queue_length(&self) {
        let held = self.waiting.state().held.len();
        self.publisher.record_queue_length(held);
    }
}

impl Drop for PacedPublisher {
    fn drop(&mut self) {
        self.waiting.state().is_closed = true;
        self.waiting.changed.notify_one();
    }
}

fn release(waiting: &Waiting, publisher: &Publisher) {
    while let Some(records) = waiting.next() {
        for record in &records {
            if let Err(error) = publisher.publish(record) {
                publisher.report_refused(record.ticket, &error);
            }
        }
    }
}

impl Waiting {
    /// Returns the record if it is to be published at once. That is so only if no record is held or being
    /// passed on, as a thread's records have to stay in the order of its calls.
    fn hold(
        &self,
        record: OutgoingRecord,
        now: Instant,
    ) -> Result<Option<OutgoingRecord>, PortError> {
        let mut state = self.state();
        let pause = state.pace.count(now);
        let is_idle = state.held.is_empty() && !state.is_releasing;
        if is_idle && (pause.is_zero() || state.release_at <= now) {
            state.release_at = now + pause;
            return Ok(Some(record));
        }
        let bytes = record.key.len() + record.value.len();
        if state.bytes + bytes > self.limit_bytes {
            metrics::counter!("lakechat_log_refused_total").increment(1);
            return Err(unavailable("too many records wait for Kafka"));
        }
        let is_first = state.held.is_empty();
        state.bytes += bytes;
        state.held.push(record);
        drop(state);
        if is_first {
            self.changed.notify_one();
        }
        Ok(None)
    }

    /// Waits for the next release. Returns its records, those of a partition in the order of the calls and
    /// one after the other, so that a request takes all of them. `None` once closed and empty.
    fn next(&self) -> Option<Vec<OutgoingRecord>> {
        let mut state = self.state();
        state.is_releasing = false;
        loop {
            if state.held.is_empty() {
                if state.is_closed {
                    return None;
                }
                state = self.changed.wait(state).expect(NO_PANIC);
                continue;
            }
            let now = Instant::now();
            let left = state.release_at.saturating_duration_since(now);
            if left.is_zero() || state.is_closed {
                let mut records = std::mem::take(&mut state.held);
                state.bytes = 0;
                state.release_at = now + state.pace.pause();
                state.is_releasing = true;
                drop(state);
                records.sort_by_key(|record| record.partition);
                return Some(records);
            }
            (state, _) = self.changed.wait_timeout(state, left).expect(NO_PANIC);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "no panic while held";
