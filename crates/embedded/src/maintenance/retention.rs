//! Trimming the log.
//!
//! A partition keeps everything from where a warm-up at its mark begins: two windows and a minute
//! before the mark's time. A partition without a mark keeps all. What goes, goes in small
//! transactions, each of which also says from where on the log is still whole.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::columns::{Column, int};
use crate::engine::Core;
use crate::history::marks;
use crate::offsets::{offset_for_time, start_offsets};
use crate::part;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::Offset;

/// Records that one transaction looks at.
const CHUNK: u64 = 1_000;
const SLACK: Duration = Duration::from_secs(60);

/// Deletes what no warm-up needs; tells how many records went. Blocks; stops early, with some left,
/// when `go_on` says so.
pub(crate) fn trim(core: &Core, go_on: impl Fn() -> bool) -> Result<usize, PortError> {
    let end = core.recent.end();
    let (mut kept, cuts) = core.read_blocking(part::BROKER, |db| {
        let kept = start_offsets(db, core.partitions)?;
        let cuts = cuts(db, core, &kept, end)?;
        Ok((kept, cuts))
    })?;
    let mut trimmed = 0;
    while let Some(from) = lowest_to_trim(&kept, &cuts)
        && go_on()
    {
        let (now_kept, cuts, last_ms) = (kept, cuts.clone(), core.clock.now_ms());
        let written = core.queue.call_blocking(move |db| {
            remember_end(db, end, last_ms)?;
            trim_chunk(db, from, now_kept, &cuts)
        });
        let gone;
        (kept, gone) = written.map_err(|fault| fault.into_port_error(part::BROKER))?;
        trimmed += gone;
    }
    metrics::counter!("lakechat_log_trimmed_total").increment(trimmed as u64);
    Ok(trimmed)
}

/// For each partition the offset below which it may go.
fn cuts(db: &Connection, core: &Core, kept: &[Offset], end: Offset) -> Result<Vec<Offset>> {
    let back = (2 * core.window + SLACK).as_millis() as u64;
    let marks = marks::read(db, core.partitions)?;
    let mut cuts = kept.to_vec();
    for ((cut, mark), kept) in cuts.iter_mut().zip(marks).zip(kept) {
        if mark.time_ms > 0 {
            let begin = offset_for_time(db, mark.time_ms.saturating_sub(back))?;
            *cut = begin.unwrap_or(end).min(mark.offset).max(*kept);
        }
    }
    Ok(cuts)
}

/// Where the next chunk begins: below it nothing is to be trimmed any more.
fn lowest_to_trim(kept: &[Offset], cuts: &[Offset]) -> Option<Offset> {
    let behind = kept.iter().zip(cuts).filter(|(kept, cut)| kept < cut);
    behind.map(|(kept, _)| *kept).min()
}

/// Trims one chunk from `from` on; answers what is kept after it and how many records went.
fn trim_chunk(
    db: &Connection,
    from: Offset,
    mut kept: Vec<Offset>,
    cuts: &[Offset],
) -> Result<(Vec<Offset>, usize)> {
    let next: Option<u64> = db
        .prepare_cached(
            "SELECT offset FROM log WHERE offset >= ?1 ORDER BY offset LIMIT 1 OFFSET ?2",
        )?
        .query_row([int(from), int(CHUNK)], |row| row.number(0))
        .optional()?;
    let until = next.unwrap_or(Offset::MAX);
    let mut keep = db.prepare_cached(
        "INSERT INTO log_kept (partition, start) VALUES (?1, ?2)
         ON CONFLICT (partition) DO UPDATE SET start = excluded.start",
    )?;
    for (partition, (kept, cut)) in kept.iter_mut().zip(cuts).enumerate() {
        if *kept < *cut {
            *kept = (*cut).min(until);
            keep.execute(params![partition as i64, int(*kept)])?;
        }
    }
    let gone = db
        .prepare_cached(
            "DELETE FROM log WHERE offset >= ?1 AND offset < ?2 AND offset < coalesce(
                (SELECT start FROM log_kept WHERE log_kept.partition = log.partition), 0)",
        )?
        .execute([int(from), int(until.min(i64::MAX as u64))])?;
    Ok((kept, gone))
}

/// Offsets and times go on from here, should the last record ever be among those that go.
fn remember_end(db: &Connection, end: Offset, last_ms: u64) -> Result<()> {
    let mut set = db.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?;
    set.execute(params!["log_end", int(end)])?;
    set.execute(params!["log_time", int(last_ms)])?;
    Ok(())
}
