//! Reads the log of all partitions once, and folds it, on a thread of its own.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::plan::{CompareFrom, PartitionPlan};
use crate::chat::log::decode_record;
use crate::chat::log::entry::Entry;
use crate::chat::log::fold::{Fold, KeyHasher, Verdict};
use crate::chat::log::record::{DecodeError, Record};
use crate::domain::{Cells, HistoryRow, Id, Partition};
use crate::ports::broker::{LogRecord, Offset};
use crate::ports::{Broker, PortError};

/// What the reader reads ahead, in bytes.
const READ_AHEAD_BYTES: usize = 4 * 1024 * 1024;

/// Records from which rows are gathered before they are compared, in bytes.
const GATHERED_BYTES: usize = 16 * 1024 * 1024;

const POLL: Duration = Duration::from_millis(200);

/// How long the log may be unavailable.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rows that the log says a partition has, in the order of their ids.
#[derive(Debug)]
pub(super) struct Batch {
    pub partition: Partition,
    /// Where the comparison of the partition begins; only in its first batch.
    pub begins: Option<Begin>,
    /// All rows whose ids are above those of the batch before, and at or below this one.
    pub upto: Id,
    /// Messages without their number, and changes.
    pub rows: Vec<HistoryRow>,
    /// Records that were read since the batch before.
    pub records: u64,
    /// The offset below which the partition was read.
    pub reached: Offset,
    /// Whether it is the partition's last batch.
    pub is_last: bool,
}

/// The first record that is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    pub offset: Offset,
    pub append_ms: u64,
    /// The last id before it.
    pub above: Id,
    /// Whether the fold has read the log from its beginning, so that its ids are certain.
    pub is_whole: bool,
}

/// Reads up to the marks. Ends early once nobody receives any more.
pub(super) struct LogPass {
    pub broker: Arc<dyn Broker>,
    pub plans: Vec<PartitionPlan>,
    pub batch_rows: usize,
    pub batches: mpsc::Sender<Result<Vec<Batch>, PortError>>,
}

impl LogPass {
    /// Blocks.
    pub fn run(self) {
        if let Err(error) = self.read() {
            // A closed queue means that the audit has ended.
            drop(self.batches.blocking_send(Err(error)));
        }
    }

    fn read(&self) -> Result<(), PortError> {
        let from: Vec<_> = self.plans.iter().map(|p| (p.partition, p.start)).collect();
        let mut reader = self.broker.background_reader(&from, READ_AHEAD_BYTES)?;
        let hasher = KeyHasher::default();
        let folding = |plan: &PartitionPlan| (plan.partition, Folding::new(*plan, hasher.clone()));
        let mut all: BTreeMap<_, _> = self.plans.iter().map(folding).collect();
        let mut records = Vec::new();
        let mut read_at = Instant::now();
        let mut gathered = Gathered::default();
        while !all.is_empty() && !self.batches.is_closed() {
            match reader.poll(POLL, &mut records) {
                Err(PortError::Unavailable { .. }) if read_at.elapsed() < PATIENCE => {
                    std::thread::park_timeout(POLL);
                }
                polled => {
                    polled?;
                    read_at = Instant::now();
                }
            }
            for record in records.drain(..) {
                if let Some(folding) = all.get_mut(&record.partition) {
                    gathered += folding.take(self.broker.partitions(), &record)?;
                }
                if gathered.rows >= self.batch_rows || gathered.bytes >= GATHERED_BYTES {
                    gathered = Gathered::default();
                    let some = all.values_mut().filter(|folding| !folding.rows.is_empty());
                    if !self.send(some.map(|folding| folding.batch(false)).collect()) {
                        return Ok(());
                    }
                }
            }
            let at_end = all.extract_if(.., |partition, folding| {
                let position = reader.position(*partition);
                folding.is_at_mark || position >= folding.plan.mark.offset
            });
            let last = at_end.map(|(_, mut folding)| folding.batch(true));
            if !self.send(last.collect()) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns whether anybody receives.
    fn send(&self, batches: Vec<Batch>) -> bool {
        batches.is_empty() || self.batches.blocking_send(Ok(batches)).is_ok()
    }
}

/// Rows that wait to be compared.
#[derive(Clone, Copy, Default)]
struct Gathered {
    rows: usize,
    bytes: usize,
}

impl AddAssign for Gathered {
    fn add_assign(&mut self, more: Gathered) {
        self.rows += more.rows;
        self.bytes += more.bytes;
    }
}

/// The fold of one partition, and what it has gathered.
struct Folding {
    plan: PartitionPlan,
    compare: CompareFrom,
    fold: Fold,
    folded_any: bool,
    begins: Option<Begin>,
    has_begun: bool,
    rows: Vec<HistoryRow>,
    records: u64,
    /// The offset below which everything was folded.
    folded_to: Offset,
    is_at_mark: bool,
}

impl Folding {
    fn new(plan: PartitionPlan, hasher: KeyHasher) -> Folding {
        let last = match plan.compare {
            CompareFrom::Beginning(id) => id,
            CompareFrom::Time(_) | CompareFrom::Settled(_) => Id::ZERO,
        };
        Folding {
            compare: plan.compare,
            fold: Fold::new(plan.partition, last, hasher),
            plan,
            folded_any: false,
            begins: None,
            has_begun: false,
            rows: Vec::new(),
            records: 0,
            folded_to: plan.start,
            is_at_mark: false,
        }
    }

    /// Folds a record below the mark; returns what it adds. `count`: the log's partitions.
    fn take(&mut self, count: u16, record: &LogRecord) -> Result<Gathered, PortError> {
        if record.offset >= self.plan.mark.offset {
            self.is_at_mark = true;
            return Ok(Gathered::default());
        }
        self.records += 1;
        self.folded_to = record.offset + 1;
        let decoded = match decode_record(self.plan.partition, count, record) {
            Ok(decoded) => Some(decoded),
            Err(DecodeError::Unreadable(_)) => None,
            Err(newer @ DecodeError::Newer(_)) => {
                let reason = format!("offset {}: {newer}", record.offset);
                return Err(PortError::stops("log", Some(self.plan.partition), reason));
            }
        };
        if !self.folded_any {
            self.compare = self.compare.after_first(record.append_ms);
            self.folded_any = true;
        }
        self.begin(record);
        let (id, verdict) = self.fold.next(record.append_ms, decoded.as_ref());
        match self.has_begun && verdict == Verdict::Accepted {
            true => Ok(self.gather(id, record, decoded)),
            false => Ok(Gathered::default()),
        }
    }

    fn begin(&mut self, record: &LogRecord) {
        let begins = match self.compare {
            CompareFrom::Beginning(_) => true,
            CompareFrom::Time(at_ms) => record.append_ms >= at_ms,
            CompareFrom::Settled(_) => false,
        };
        if begins && !self.has_begun {
            self.has_begun = true;
            self.begins = Some(Begin {
                offset: record.offset,
                append_ms: record.append_ms,
                above: self.fold.last_id(),
                is_whole: matches!(self.compare, CompareFrom::Beginning(_)),
            });
        }
    }

    fn gather(&mut self, id: Id, record: &LogRecord, decoded: Option<Record>) -> Gathered {
        let entry = Entry {
            offset: record.offset,
            append_ms: record.append_ms,
            id,
            verdict: Verdict::Accepted,
            record: decoded,
            dead: None,
            frame: None,
        };
        let row = entry.row(0);
        let is_compared =
            |row: &HistoryRow| matches!(row.cells, Cells::Message(_) | Cells::Change(_));
        let rows = self.rows.len();
        self.rows.extend(row.filter(is_compared));
        Gathered {
            rows: self.rows.len() - rows,
            bytes: record.value.len(),
        }
    }

    fn batch(&mut self, is_last: bool) -> Batch {
        let reached = if is_last {
            self.plan.mark.offset
        } else {
            self.folded_to
        };
        Batch {
            partition: self.plan.partition,
            begins: self.begins.take(),
            upto: self.fold.last_id(),
            rows: std::mem::take(&mut self.rows),
            records: std::mem::take(&mut self.records),
            reached,
            is_last,
        }
    }
}
