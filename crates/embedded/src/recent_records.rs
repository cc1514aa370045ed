//! The last committed records, in memory: what readers that are up to date read.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use lakechat_core::ports::broker::{LogRecord, Offset};

/// How many records one poll returns.
pub(super) const POLL_RECORDS: usize = 1_000;

pub(super) struct Recent {
    ring: Mutex<Ring>,
    grown: Condvar,
    max_bytes: usize,
}

struct Ring {
    records: VecDeque<LogRecord>,
    bytes: usize,
    /// Every committed record from here on is in `records`.
    first: Offset,
    /// After the last committed record.
    end: Offset,
    closed: bool,
}

/// What a reader at some offset finds.
pub(super) enum Found {
    /// All that it wants before this offset is taken.
    UpTo(Offset),
    /// Its records are on the disk only; the log ends here.
    OnDisk(Offset),
    Closed,
}

impl Recent {
    pub fn new(end: Offset, max_bytes: usize) -> Recent {
        Recent {
            ring: Mutex::new(Ring {
                records: VecDeque::new(),
                bytes: 0,
                first: end,
                end,
                closed: false,
            }),
            grown: Condvar::new(),
            max_bytes,
        }
    }

    /// After the last committed record.
    pub fn end(&self) -> Offset {
        self.ring().end
    }

    /// Adds what was committed. When there are too many bytes the oldest go: they are on the disk.
    pub fn extend(&self, records: impl Iterator<Item = LogRecord>) {
        let mut ring = self.ring();
        for record in records {
            ring.end = record.offset + 1;
            ring.bytes += weight(&record);
            ring.records.push_back(record);
        }
        while ring.bytes > self.max_bytes {
            let Some(oldest) = ring.records.pop_front() else {
                break;
            };
            ring.bytes -= weight(&oldest);
            ring.first = oldest.offset + 1;
        }
        drop(ring);
        self.grown.notify_all();
    }

    /// Waits until there is a record at or after `from`, or the deadline; then takes those that
    /// `wanted` tells, in order, up to a thousand.
    pub fn read(
        &self,
        from: Offset,
        deadline: Instant,
        wanted: impl Fn(&LogRecord) -> bool,
        into: &mut Vec<LogRecord>,
    ) -> Found {
        let mut ring = self.ring();
        while from >= ring.end && !ring.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Found::UpTo(from);
            }
            let waited = self.grown.wait_timeout(ring, left);
            ring = waited.expect("nothing panics under it").0;
        }
        if ring.closed {
            return Found::Closed;
        }
        if from < ring.first {
            return Found::OnDisk(ring.end);
        }
        let skip = ring.records.partition_point(|r| r.offset < from);
        let mut room = POLL_RECORDS;
        for record in ring.records.range(skip..).filter(|r| wanted(r)) {
            if room == 0 {
                return Found::UpTo(record.offset);
            }
            room -= 1;
            into.push(record.clone());
        }
        Found::UpTo(ring.end)
    }

    /// Nothing will be added: readers are told instead of waiting.
    pub fn close(&self) {
        self.ring().closed = true;
        self.grown.notify_all();
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().expect("nothing panics under it")
    }
}

fn weight(record: &LogRecord) -> usize {
    size_of::<LogRecord>() + record.key.len() + record.value.len()
}
