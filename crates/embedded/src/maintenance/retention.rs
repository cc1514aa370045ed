//! Trims the log.
//!
//! A partition keeps every record from where a warm-up at its mark begins: `EmbeddedSettings::warm_up`
//! before the mark's time. A partition without a mark keeps everything. Records are deleted in small
//! transactions, so that the writer is never held up for long; each also stores the partitions' new
//! start offsets, so that a log that was trimmed half-way is consistent.

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::columns::{ReadColumn, int};
use crate::engine::Engine;
use crate::history::marks;
use crate::offsets::{offset_for_time, start_offsets};
use crate::part;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::Offset;

/// Records that one transaction examines.
const CHUNK_RECORDS: u64 = 1_000;

/// Deletes the records that no warm-up needs; returns how many. Blocks. Stops between two
/// transactions when `may_continue` returns false.
pub(crate) fn trim(engine: &Engine, may_continue: impl Fn() -> bool) -> Result<usize, PortError> {
    let end = engine.recent_records.end();
    let (mut starts, new_starts) = engine.read_blocking(part::BROKER, |db| {
        let starts = start_offsets(db, engine.partitions)?;
        let new_starts = new_start_offsets(db, engine, &starts, end)?;
        Ok((starts, new_starts))
    })?;
    let mut trimmed = 0;
    while let Some(from) = lowest_to_trim(&starts, &new_starts)
        && may_continue()
    {
        let (current, targets, now_ms) = (starts, new_starts.clone(), engine.clock.now_ms());
        let written = engine.queue.call_blocking(move |db| {
            store_log_end(db, end, now_ms)?;
            trim_chunk(db, from, current, &targets)
        });
        let deleted;
        (starts, deleted) = written.map_err(|fault| fault.into_port_error(part::BROKER))?;
        trimmed += deleted;
    }
    metrics::counter!("lakechat_log_trimmed_total").increment(trimmed as u64);
    Ok(trimmed)
}

/// By partition, the offset below which no record is needed.
fn new_start_offsets(
    db: &Connection,
    engine: &Engine,
    starts: &[Offset],
    end: Offset,
) -> Result<Vec<Offset>> {
    let warm_up_ms = u64::try_from(engine.warm_up.as_millis()).unwrap_or(u64::MAX);
    let marks = marks::read(db, engine.partitions)?;
    let mut new_starts = starts.to_vec();
    for ((new_start, mark), start) in new_starts.iter_mut().zip(marks).zip(starts) {
        if mark.time_ms > 0 {
            let warm_up = offset_for_time(db, mark.time_ms.saturating_sub(warm_up_ms))?;
            // Never past the mark: what lies above it is not in history yet.
            *new_start = warm_up.unwrap_or(end).min(mark.offset).max(*start);
        }
    }
    Ok(new_starts)
}

/// Where the next chunk begins; `None` if nothing is left to trim.
fn lowest_to_trim(starts: &[Offset], new_starts: &[Offset]) -> Option<Offset> {
    let untrimmed = starts
        .iter()
        .zip(new_starts)
        .filter(|(start, new)| start < new);
    untrimmed.map(|(start, _)| *start).min()
}

/// Trims one chunk that begins at `from`; returns the start offsets after it and the number of
/// deleted records.
fn trim_chunk(
    db: &Connection,
    from: Offset,
    mut starts: Vec<Offset>,
    new_starts: &[Offset],
) -> Result<(Vec<Offset>, usize)> {
    let next: Option<u64> = db
        .prepare_cached(
            "SELECT offset FROM log WHERE offset >= ?1 ORDER BY offset LIMIT 1 OFFSET ?2",
        )?
        .query_row([int(from), int(CHUNK_RECORDS)], |row| row.number(0))
        .optional()?;
    let until = next.unwrap_or(Offset::MAX);
    let mut store_start = db.prepare_cached(
        "INSERT INTO log_kept (partition, start) VALUES (?1, ?2)
         ON CONFLICT (partition) DO UPDATE SET start = excluded.start",
    )?;
    for (partition, (start, new_start)) in starts.iter_mut().zip(new_starts).enumerate() {
        if *start < *new_start {
            *start = (*new_start).min(until);
            store_start.execute(params![partition as i64, int(*start)])?;
        }
    }
    let deleted = db
        .prepare_cached(
            "DELETE FROM log WHERE offset >= ?1 AND offset < ?2 AND offset < coalesce(
                (SELECT start FROM log_kept WHERE log_kept.partition = log.partition), 0)",
        )?
        .execute([int(from), int(until.min(i64::MAX as u64))])?;
    Ok((starts, deleted))
}

/// Stores where offsets and append times continue, in case the last record is deleted.
fn store_log_end(db: &Connection, end: Offset, now_ms: u64) -> Result<()> {
    let mut set = db.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?;
    set.execute(params!["log_end", int(end)])?;
    set.execute(params!["log_time", int(now_ms)])?;
    Ok(())
}
