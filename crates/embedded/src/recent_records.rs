//! The last committed records, in memory, for readers near the log's end.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use lakechat_core::ports::broker::{LogRecord, Offset};

/// Records that one poll returns, at most.
pub(super) const POLL_RECORDS: usize = 1_000;

pub(super) struct RecentRecords {
    ring: Mutex<Ring>,
    /// Signalled when records were added and when the log is closed.
    changed: Condvar,
    max_bytes: usize,
}

struct Ring {
    records: VecDeque<LogRecord>,
    bytes: usize,
    /// `records` has every committed record from this offset on.
    first: Offset,
    /// The log-end offset: one past the last committed record.
    end: Offset,
    closed: bool,
}

/// Outcome of a read.
pub(super) enum RecentRead {
    /// Every wanted record below this offset was returned.
    ReadTo(Offset),
    /// The next records are on the disk only. Carries the log-end offset.
    OnDiskOnly(Offset),
    /// The log is closed.
    Closed,
}

impl RecentRecords {
    pub fn new(end: Offset, max_bytes: usize) -> RecentRecords {
        RecentRecords {
            ring: Mutex::new(Ring {
                records: VecDeque::new(),
                bytes: 0,
                first: end,
                end,
                closed: false,
            }),
            changed: Condvar::new(),
            max_bytes,
        }
    }

    /// The log-end offset: one past the last committed record.
    pub fn end(&self) -> Offset {
        self.ring().end
    }

    /// Moves the end past records that another process has committed. Readers find them on the disk.
    pub fn move_end_to(&self, end: Offset) {
        let mut ring = self.ring();
        if end > ring.end {
            ring.records.clear();
            (ring.bytes, ring.first, ring.end) = (0, end, end);
        }
    }

    /// Adds committed records. Above the bound the oldest are dropped: readers find them on the disk.
    pub fn extend(&self, records: impl Iterator<Item = LogRecord>) {
        let mut ring = self.ring();
        for record in records {
            ring.end = record.offset + 1;
            ring.bytes += memory_bytes(&record);
            ring.records.push_back(record);
        }
        while ring.bytes > self.max_bytes {
            let Some(oldest) = ring.records.pop_front() else {
                break;
            };
            ring.bytes -= memory_bytes(&oldest);
            ring.first = oldest.offset + 1;
        }
        drop(ring);
        self.changed.notify_all();
    }

    /// Waits until there is a record at or after `from`, at most until the deadline; then appends
    /// to `into` those that `is_wanted` selects, in order, at most [`POLL_RECORDS`].
    pub fn read(
        &self,
        from: Offset,
        deadline: Instant,
        is_wanted: impl Fn(&LogRecord) -> bool,
        into: &mut Vec<LogRecord>,
    ) -> RecentRead {
        let mut ring = self.ring();
        while from >= ring.end && !ring.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return RecentRead::ReadTo(from);
            }
            let waited = self.changed.wait_timeout(ring, left);
            ring = waited.expect("nothing panics while holding it").0;
        }
        if ring.closed {
            return RecentRead::Closed;
        }
        if from < ring.first {
            return RecentRead::OnDiskOnly(ring.end);
        }
        let skip = ring.records.partition_point(|r| r.offset < from);
        let mut room = POLL_RECORDS;
        for record in ring.records.range(skip..).filter(|r| is_wanted(r)) {
            if room == 0 {
                return RecentRead::ReadTo(record.offset);
            }
            room -= 1;
            into.push(record.clone());
        }
        RecentRead::ReadTo(ring.end)
    }

    /// Ends the waiting of readers: no more records will be added.
    pub fn close(&self) {
        self.ring().closed = true;
        self.changed.notify_all();
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().expect("nothing panics while holding it")
    }
}

/// Approximate memory of a record.
fn memory_bytes(record: &LogRecord) -> usize {
    size_of::<LogRecord>() + record.key.len() + record.value.len()
}
