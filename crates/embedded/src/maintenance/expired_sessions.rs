//! Removing login sessions that nobody can renew any more.
//!
//! Sessions have no index by their end, so the table is walked bit by bit and round and round: each
//! turn looks at some thousand rows after those of the last one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Result, params};

use crate::columns::{Column, int};
use crate::engine::Core;
use crate::part;
use lakechat_core::ports::PortError;

/// Rows that one transaction looks at.
const CHUNK: usize = 1_000;
/// Chunks of a turn.
const CHUNKS: usize = 10;
/// How long a session is kept after its end: a clock set ahead by less logs nobody out.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a session lies in the table: its user and its id.
type Place = (String, String);

/// A walk through the sessions.
#[derive(Default)]
pub(crate) struct Walk {
    /// The last row that was looked at; the default comes before all.
    after: Place,
}

/// Rows that lie one after the other.
struct Chunk {
    last: Place,
    rows: usize,
    has_expired: bool,
}

impl Walk {
    /// Looks at the next rows and deletes the sessions whose end is more than a day ago; tells how
    /// many. Blocks; stops early when `go_on` says so.
    pub fn turn(&mut self, core: &Core, go_on: impl Fn() -> bool) -> Result<usize, PortError> {
        // The wall clock, as sessions have their end by it: the log's may be ahead.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let until = now.unwrap_or_default().saturating_sub(KEPT).as_millis() as u64;
        let mut removed = 0;
        for _ in 0..CHUNKS {
            if !go_on() {
                break;
            }
            let (gone, is_end) = self.step(core, until)?;
            removed += gone;
            if is_end {
                break;
            }
        }
        Ok(removed)
    }

    /// One chunk; tells how many went, and whether it was the table's last.
    fn step(&mut self, core: &Core, until: u64) -> Result<(usize, bool), PortError> {
        let chunk = core.read_blocking(part::DIRECTORY, |db| look(db, &self.after, until))?;
        let Some(Chunk {
            last,
            rows,
            has_expired,
        }) = chunk
        else {
            self.after = Place::default();
            return Ok((0, true));
        };
        let mut gone = 0;
        if has_expired {
            let (after, last) = (self.after.clone(), last.clone());
            let deleted = core
                .queue
                .call_blocking(move |db| delete(db, &after, &last, until));
            gone = deleted.map_err(|fault| fault.into_port_error(part::DIRECTORY))?;
            metrics::counter!("lakechat_login_sessions_removed_total").increment(gone as u64);
        }
        let is_end = rows < CHUNK;
        self.after = if is_end { Place::default() } else { last };
        Ok((gone, is_end))
    }
}

/// The chunk after a place; none after the last row.
fn look(db: &Connection, after: &Place, until: u64) -> Result<Option<Chunk>> {
    let mut select = db.prepare_cached(
        "SELECT user, id, expires_at FROM sessions WHERE (user, id) > (?1, ?2)
         ORDER BY user, id LIMIT ?3",
    )?;
    let mut rows = select.query(params![after.0, after.1, CHUNK as i64])?;
    let mut chunk: Option<Chunk> = None;
    while let Some(row) = rows.next()? {
        let has_expired = row.number(2)? < until;
        chunk = Some(Chunk {
            last: (row.get(0)?, row.get(1)?),
            rows: chunk.as_ref().map_or(0, |c| c.rows) + 1,
            has_expired: has_expired || chunk.is_some_and(|c| c.has_expired),
        });
    }
    Ok(chunk)
}

/// Deletes what has expired of a chunk, as it stands by now; tells how many.
fn delete(db: &Connection, after: &Place, last: &Place, until: u64) -> Result<usize> {
    db.prepare_cached(
        "DELETE FROM sessions
         WHERE (user, id) > (?1, ?2) AND (user, id) <= (?3, ?4) AND expires_at < ?5",
    )?
    .execute(params![after.0, after.1, last.0, last.1, int(until)])
}
