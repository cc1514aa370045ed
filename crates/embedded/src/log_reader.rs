//! A reader of the log: from memory where it is up to date, else from the disk, page by page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

use super::columns::{Column, int, limit};
use super::engine::Core;
use super::fault::Fault;
use super::offsets::start_offsets;
use super::part;
use super::recent_records::{Found, POLL_RECORDS};
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{LogReader, LogRecord, Offset};

pub(super) struct SqliteReader {
    core: Arc<Core>,
    db: Connection,
    /// From where on each partition is wanted; none: not at all.
    starts: Vec<Option<Offset>>,
    /// Everything below, of all partitions, is behind this reader.
    at: Offset,
}

impl SqliteReader {
    pub fn open(core: Arc<Core>, from: &[(Partition, Offset)]) -> Result<SqliteReader, PortError> {
        let mut starts = vec![None; usize::from(core.partitions)];
        for &(partition, offset) in from {
            let start = starts.get_mut(partition.index());
            let missing =
                || PortError::broken(part::BROKER, format!("there is no partition {partition}"));
            *start.ok_or_else(missing)? = Some(offset);
        }
        let db = core.readers.connect().map_err(Fault::from);
        let reader = SqliteReader {
            db: db.map_err(|fault| fault.into_port_error(part::BROKER))?,
            at: from.iter().map(|&(_, offset)| offset).min().unwrap_or(0),
            starts,
            core,
        };
        let kept = start_offsets(&reader.db, reader.core.partitions);
        reader.check_kept(&kept.map_err(|e| reader.fault(e))?)?;
        Ok(reader)
    }

    /// Reads a page from the disk, up to the log's end as it was known.
    fn page(&mut self, end: Offset, into: &mut Vec<LogRecord>) -> Result<(), PortError> {
        let page = page(&self.db, self.at, end, self.core.partitions);
        let (records, kept) = page.map_err(|e| self.fault(e))?;
        self.check_kept(&kept)?;
        let whole = records.len() < POLL_RECORDS;
        self.at = match records.last() {
            Some(last) if !whole => last.offset + 1,
            _ => end,
        };
        let starts = &self.starts;
        into.extend(records.into_iter().filter(|record| wanted(starts, record)));
        Ok(())
    }

    /// A reader whose next record may have been trimmed stops loudly.
    fn check_kept(&self, kept: &[Offset]) -> Result<(), PortError> {
        for (partition, (start, &kept)) in self.starts.iter().zip(kept).enumerate() {
            let Some(start) = start else { continue };
            let position = self.at.max(*start);
            if position < kept {
                let reason = format!(
                    "partition {partition} is kept from offset {kept} on; {position} is gone"
                );
                let partition = u16::try_from(partition).ok().map(Partition);
                return Err(PortError::stops(part::BROKER, partition, reason));
            }
        }
        Ok(())
    }

    fn fault(&self, error: rusqlite::Error) -> PortError {
        let fault = Fault::from(error);
        self.core.health.note(&fault);
        fault.into_port_error(part::BROKER)
    }
}

impl LogReader for SqliteReader {
    fn poll(&mut self, timeout: Duration, into: &mut Vec<LogRecord>) -> Result<(), PortError> {
        let deadline = Instant::now() + timeout;
        let before = into.len();
        loop {
            let starts = &self.starts;
            let wanted = |record: &LogRecord| wanted(starts, record);
            match self.core.recent.read(self.at, deadline, wanted, into) {
                Found::UpTo(at) => self.at = at,
                Found::OnDisk(end) => self.page(end, into)?,
                Found::Closed => return Err(self.closed()),
            }
            if into.len() > before || Instant::now() >= deadline {
                return Ok(());
            }
        }
    }

    fn position(&self, partition: Partition) -> Offset {
        let start = self.starts.get(partition.index()).copied().flatten();
        self.at.max(start.unwrap_or(0))
    }
}

impl SqliteReader {
    fn closed(&self) -> PortError {
        let fault = self.core.health.check().err();
        fault
            .unwrap_or_else(|| Fault::Away("the data folder is closed".into()))
            .into_port_error(part::BROKER)
    }
}

fn wanted(starts: &[Option<Offset>], record: &LogRecord) -> bool {
    let start = starts.get(record.partition.index()).copied().flatten();
    start.is_some_and(|start| record.offset >= start)
}

/// Records of all partitions, and what the log kept in the same state of the database.
fn page(
    db: &Connection,
    from: Offset,
    end: Offset,
    partitions: u16,
) -> rusqlite::Result<(Vec<LogRecord>, Vec<Offset>)> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Deferred)?;
    let kept = start_offsets(&tx, partitions)?;
    let mut select = tx.prepare_cached(
        "SELECT offset, partition, append_ms, channel, record FROM log
         WHERE offset >= ?1 AND offset < ?2 ORDER BY offset LIMIT ?3",
    )?;
    let rows = select.query_map([int(from), int(end), limit(POLL_RECORDS)], record)?;
    let records = rows.collect::<rusqlite::Result<_>>()?;
    Ok((records, kept))
}

fn record(row: &Row<'_>) -> rusqlite::Result<LogRecord> {
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
