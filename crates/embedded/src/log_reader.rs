//! A reader of the log: near the end it reads from memory, behind it from the disk, page by page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

use super::columns::{ReadColumn, int, limit};
use super::engine::Engine;
use super::fault::Fault;
use super::offsets::start_offsets;
use super::part;
use super::recent_records::{POLL_RECORDS, RecentRead};
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{LogReader, LogRecord, Offset};

/// A page read from the disk ends with the record with which it reaches this size.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct SqliteReader {
    engine: Arc<Engine>,
    db: Connection,
    /// By partition, the first offset to return; `None` for a partition that is not read.
    starts: Vec<Option<Offset>>,
    /// One position for all partitions, as they share one sequence of offsets: every record below
    /// it was returned or skipped.
    position: Offset,
}

impl SqliteReader {
    pub fn open(
        engine: Arc<Engine>,
        from: &[(Partition, Offset)],
    ) -> Result<SqliteReader, PortError> {
        let mut starts = vec![None; usize::from(engine.partitions)];
        for &(partition, offset) in from {
            let start = starts.get_mut(partition.index());
            let missing = || {
                PortError::broken(
                    part::BROKER,
                    format!("partition {partition} does not exist"),
                )
            };
            *start.ok_or_else(missing)? = Some(offset);
        }
        // A connection outside the pool: it lives as long as this reader.
        let connected = engine.read_pool.connect().map_err(Fault::from);
        let reader = SqliteReader {
            db: connected.map_err(|fault| fault.into_port_error(part::BROKER))?,
            position: from.iter().map(|&(_, offset)| offset).min().unwrap_or(0),
            starts,
            engine,
        };
        let kept = start_offsets(&reader.db, reader.engine.partitions);
        reader.check_kept(&kept.map_err(|e| reader.fault(e))?)?;
        Ok(reader)
    }

    /// Reads the next page from the disk, up to the given log-end offset.
    fn read_page(&mut self, end: Offset, into: &mut Vec<LogRecord>) -> Result<(), PortError> {
        let page = read_page(&self.db, self.position, end, self.engine.partitions);
        let (Page { records, is_full }, kept) = page.map_err(|e| self.fault(e))?;
        self.check_kept(&kept)?;
        self.position = match records.last() {
            Some(last) if is_full => last.offset + 1,
            // A page that is not full reaches the end, whatever gaps are below it.
            _ => end,
        };
        let starts = &self.starts;
        into.extend(
            records
                .into_iter()
                .filter(|record| is_wanted(starts, record)),
        );
        Ok(())
    }

    /// Fails with `Stops` if the next record of a partition may have been trimmed.
    fn check_kept(&self, kept: &[Offset]) -> Result<(), PortError> {
        for (partition, (start, &kept)) in self.starts.iter().zip(kept).enumerate() {
            let Some(start) = start else { continue };
            let next = self.position.max(*start);
            if next < kept {
                let reason = format!(
                    "partition {partition} was trimmed below offset {kept}; offset {next} is gone"
                );
                let partition = u16::try_from(partition).ok().map(Partition);
                return Err(PortError::stops(part::BROKER, partition, reason));
            }
        }
        Ok(())
    }

    fn fault(&self, error: rusqlite::Error) -> PortError {
        let fault = Fault::from(error);
        self.engine.health.report(&fault);
        fault.into_port_error(part::BROKER)
    }
}

impl LogReader for SqliteReader {
    fn poll(&mut self, timeout: Duration, into: &mut Vec<LogRecord>) -> Result<(), PortError> {
        let deadline = Instant::now() + timeout;
        let before = into.len();
        loop {
            let starts = &self.starts;
            let is_wanted = |record: &LogRecord| is_wanted(starts, record);
            let recent_records = &self.engine.recent_records;
            match recent_records.read(self.position, deadline, is_wanted, into) {
                RecentRead::ReadTo(position) => self.position = position,
                RecentRead::OnDiskOnly(end) => self.read_page(end, into)?,
                RecentRead::Closed => return Err(self.closed()),
            }
            // Records of other partitions end the wait above without adding anything.
            if into.len() > before || Instant::now() >= deadline {
                return Ok(());
            }
        }
    }

    fn position(&self, partition: Partition) -> Offset {
        let start = self.starts.get(partition.index()).copied().flatten();
        self.position.max(start.unwrap_or(0))
    }
}

impl SqliteReader {
    fn closed(&self) -> PortError {
        let fault = self.engine.health.check().err();
        fault
            .unwrap_or_else(|| Fault::Unavailable("the data folder is closed".into()))
            .into_port_error(part::BROKER)
    }
}

fn is_wanted(starts: &[Option<Offset>], record: &LogRecord) -> bool {
    let start = starts.get(record.partition.index()).copied().flatten();
    start.is_some_and(|start| record.offset >= start)
}

/// Records of all partitions, in order.
struct Page {
    records: Vec<LogRecord>,
    /// It has as many records as a page may have; there may be more behind them.
    is_full: bool,
}

/// A page, and the start offsets in the same snapshot: trimming runs beside
/// readers, and a page must not be checked against another state than it was read from.
fn read_page(
    db: &Connection,
    from: Offset,
    end: Offset,
    partitions: u16,
) -> rusqlite::Result<(Page, Vec<Offset>)> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Deferred)?;
    let kept = start_offsets(&tx, partitions)?;
    let mut select = tx.prepare_cached(
        "SELECT offset, partition, append_ms, channel, record FROM log
         WHERE offset >= ?1 AND offset < ?2 ORDER BY offset LIMIT ?3",
    )?;
    let rows = select.query_map([int(from), int(end), limit(POLL_RECORDS)], log_record)?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let record = row?;
        bytes += record.key.len() + record.value.len();
        records.push(record);
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    let is_full = records.len() == POLL_RECORDS || bytes >= PAGE_BYTES;
    Ok((Page { records, is_full }, kept))
}

fn log_record(row: &Row<'_>) -> rusqlite::Result<LogRecord> {
    let bytes = |index| -> rusqlite::Result<Bytes> {
        Ok(Bytes::copy_from_slice(row.get_ref(index)?.as_bytes()?))
    };
    Ok(LogRecord {
        partition: Partition(row.get(1)?),
        offset: row.number(0)?,
        append_ms: row.number(2)?,
        key: bytes(3)?,
        value: bytes(4)?,
    })
}
