//! Places in the log: by time, and where it begins.

use rusqlite::{Connection, Result, params};

use super::columns::{Column, int};
use lakechat_core::ports::broker::Offset;

/// The first offset at or after which records have an append time at or after `time_ms`; none if all
/// are earlier. Append times never fall, over all partitions, so halving finds it.
pub(super) fn offset_for_time(db: &Connection, time_ms: u64) -> Result<Option<Offset>> {
    let ends = "SELECT (SELECT min(offset) FROM log), (SELECT max(offset) FROM log)";
    let (first, last) = db
        .prepare_cached(ends)?
        .query_row([], |row| Ok((row.maybe_number(0)?, row.maybe_number(1)?)))?;
    let (Some(mut low), Some(last)) = (first, last) else {
        return Ok(None);
    };
    let mut at = db.prepare_cached(
        "SELECT offset, append_ms FROM log WHERE offset >= ?1 ORDER BY offset LIMIT 1",
    )?;
    // All before `low` is earlier; all from `high` on is not.
    let mut high = last + 1;
    while low < high {
        let middle = low + (high - low) / 2;
        let (offset, append_ms) =
            at.query_row([int(middle)], |row| Ok((row.number(0)?, row.number(1)?)))?;
        if append_ms >= time_ms {
            high = middle;
        } else {
            low = offset + 1;
        }
    }
    Ok((low <= last).then_some(low))
}

/// For each partition the first offset still kept.
pub(super) fn start_offsets(db: &Connection, partitions: u16) -> Result<Vec<Offset>> {
    let mut starts = vec![0; usize::from(partitions)];
    let mut kept = db.prepare_cached("SELECT partition, start FROM log_kept")?;
    let mut rows = kept.query(params![])?;
    while let Some(row) = rows.next()? {
        let partition: u16 = row.get(0)?;
        if let Some(start) = starts.get_mut(usize::from(partition)) {
            *start = row.number(1)?;
        }
    }
    Ok(starts)
}
