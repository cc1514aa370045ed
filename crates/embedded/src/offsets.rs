//! Looks up offsets: by time, and where each partition starts.

use rusqlite::{Connection, Result, params};

use super::columns::{ReadColumn, int};
use lakechat_core::ports::broker::Offset;

/// The first offset, over all partitions, whose record has an append time at or after `time_ms`;
/// `None` if every record is older. Append times never fall, so a binary search finds it.
pub(super) fn offset_for_time(db: &Connection, time_ms: u64) -> Result<Option<Offset>> {
    let bounds = "SELECT (SELECT min(offset) FROM log), (SELECT max(offset) FROM log)";
    let (first, last) = db.prepare_cached(bounds)?.query_row([], |row| {
        Ok((row.optional_number(0)?, row.optional_number(1)?))
    })?;
    let (Some(mut low), Some(last)) = (first, last) else {
        return Ok(None);
    };
    let mut select = db.prepare_cached(
        "SELECT offset, append_ms FROM log WHERE offset >= ?1 ORDER BY offset LIMIT 1",
    )?;
    // Records below `low` are older, those from `high` on are not. Offsets may have gaps, so the
    // middle is the next record at or above it.
    let mut high = last + 1;
    while low < high {
        let middle = low + (high - low) / 2;
        let (offset, append_ms) =
            select.query_row([int(middle)], |row| Ok((row.number(0)?, row.number(1)?)))?;
        if append_ms >= time_ms {
            high = middle;
        } else {
            low = offset + 1;
        }
    }
    Ok((low <= last).then_some(low))
}

/// By partition, the first offset that was not trimmed.
pub(super) fn start_offsets(db: &Connection, partitions: u16) -> Result<Vec<Offset>> {
    let mut starts = vec![0; usize::from(partitions)];
    let mut select = db.prepare_cached("SELECT partition, start FROM log_kept")?;
    let mut rows = select.query(params![])?;
    while let Some(row) = rows.next()? {
        let partition: u16 = row.get(0)?;
        if let Some(start) = starts.get_mut(usize::from(partition)) {
            *start = row.number(1)?;
        }
    }
    Ok(starts)
}
