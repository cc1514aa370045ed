//! Removes login sessions that can't be renewed any more.
//!
//! The table has no index by expiry, so it is scanned in rounds: each run examines up to ten thousand
//! rows after those of the last run, and starts over at the table's end.

use rusqlite::{Connection, Result, params};

use crate::columns::{ReadColumn, int};
use crate::engine::Engine;
use crate::part;
use lakechat_core::domain::now_ms;
use lakechat_core::ports::PortError;

/// Rows that one transaction examines.
const CHUNK_ROWS: usize = 1_000;
/// Chunks that one run examines.
const CHUNKS_PER_RUN: usize = 10;
/// How long a session is kept after it expired, so that a clock set ahead by less than this ends no session.
const GRACE_MS: u64 = 24 * 60 * 60 * 1000;

/// The primary key of a session: its user and its id.
type SessionKey = (String, String);

/// A scan through the sessions.
#[derive(Default)]
pub(crate) struct SessionScan {
    /// The last row that was examined; the default sorts before every row.
    after: SessionKey,
}

/// Consecutive rows.
struct Chunk {
    last: SessionKey,
    rows: usize,
    has_expired: bool,
}

impl SessionScan {
    /// Examines the next rows and deletes the sessions that expired more than a day ago; returns how
    /// many. Blocks. Stops between two chunks when `may_continue` returns false.
    pub fn run(
        &mut self,
        engine: &Engine,
        may_continue: impl Fn() -> bool,
    ) -> Result<usize, PortError> {
        // Sessions expire by the wall clock; the log's clock may be ahead of it.
        let cutoff_ms = now_ms().saturating_sub(GRACE_MS);
        let mut removed = 0;
        for _ in 0..CHUNKS_PER_RUN {
            if !may_continue() {
                break;
            }
            let (deleted, is_end) = self.scan_chunk(engine, cutoff_ms)?;
            removed += deleted;
            if is_end {
                break;
            }
        }
        Ok(removed)
    }

    /// Examines one chunk; returns how many sessions it deleted and whether it was the last chunk.
    fn scan_chunk(&mut self, engine: &Engine, cutoff_ms: u64) -> Result<(usize, bool), PortError> {
        let chunk =
            engine.read_blocking(part::DIRECTORY, |db| read_chunk(db, &self.after, cutoff_ms))?;
        let Some(Chunk {
            last,
            rows,
            has_expired,
        }) = chunk
        else {
            self.after = SessionKey::default();
            return Ok((0, true));
        };
        let mut deleted = 0;
        // Most chunks have nothing to delete, and then the writer is left alone.
        if has_expired {
            let (after, last) = (self.after.clone(), last.clone());
            let written = engine
                .queue
                .call_blocking(move |db| delete_expired(db, &after, &last, cutoff_ms));
            deleted = written.map_err(|fault| fault.into_port_error(part::DIRECTORY))?;
            metrics::counter!("lakechat_login_sessions_removed_total").increment(deleted as u64);
        }
        let is_end = rows < CHUNK_ROWS;
        self.after = if is_end { SessionKey::default() } else { last };
        Ok((deleted, is_end))
    }
}

/// The chunk after a key; `None` after the last row.
fn read_chunk(db: &Connection, after: &SessionKey, cutoff_ms: u64) -> Result<Option<Chunk>> {
    let mut select = db.prepare_cached(
        "SELECT user, id, expires_at FROM sessions WHERE (user, id) > (?1, ?2)
         ORDER BY user, id LIMIT ?3",
    )?;
    let mut rows = select.query(params![after.0, after.1, CHUNK_ROWS as i64])?;
    let mut chunk: Option<Chunk> = None;
    while let Some(row) = rows.next()? {
        let has_expired = row.number(2)? < cutoff_ms;
        chunk = Some(Chunk {
            last: (row.get(0)?, row.get(1)?),
            rows: chunk.as_ref().map_or(0, |c| c.rows) + 1,
            has_expired: has_expired || chunk.is_some_and(|c| c.has_expired),
        });
    }
    Ok(chunk)
}

/// Deletes the expired sessions of a chunk; returns how many. It checks the expiry again, as a session
/// may have been renewed since the chunk was read.
fn delete_expired(
    db: &Connection,
    after: &SessionKey,
    last: &SessionKey,
    cutoff_ms: u64,
) -> Result<usize> {
    db.prepare_cached(
        "DELETE FROM sessions
         WHERE (user, id) > (?1, ?2) AND (user, id) <= (?3, ?4) AND expires_at < ?5",
    )?
    .execute(params![after.0, after.1, last.0, last.1, int(cutoff_ms)])
}
