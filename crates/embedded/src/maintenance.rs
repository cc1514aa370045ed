//! The maintenance thread: checkpoints the WAL beside the writer, trims the log, and removes expired
//! login sessions.

pub(super) mod expired_sessions;
pub(super) mod retention;
pub(super) mod signal;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use self::expired_sessions::SessionScan;
use super::database;
use super::engine::Engine;
use super::folder::{DataFolder, OpenError};
use super::settings::EmbeddedSettings;
use lakechat_core::threads::OwnedThread;

/// Pause after a checkpoint, as each costs two fsyncs.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(100);

/// Owns the maintenance thread. Dropping it stops and joins the thread.
pub(super) struct Maintenance {
    engine: Arc<Engine>,
    _thread: OwnedThread,
}

impl Maintenance {
    pub fn start(
        folder: &DataFolder,
        settings: &EmbeddedSettings,
        engine: Arc<Engine>,
    ) -> Result<Maintenance, OpenError> {
        let path = folder.database();
        // Without a busy timeout: a checkpoint that meets a lock is left to the next one.
        let opened = database::open_unrestricted(&path, Duration::ZERO);
        let db = opened.map_err(|source| OpenError::Database {
            path: path.clone(),
            source,
        })?;
        let interval = settings.maintenance_interval;
        let used = Arc::clone(&engine);
        let maintain = move || run(&db, &used, interval);
        let thread = OwnedThread::restarting("embedded-maintenance", maintain)
            .map_err(|source| OpenError::Io { path, source })?;
        Ok(Maintenance {
            engine,
            _thread: thread,
        })
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.engine.maintenance.stop();
    }
}

fn run(db: &Connection, engine: &Engine, interval: Duration) {
    let mut next_run = Instant::now() + interval;
    let mut sessions = SessionScan::default();
    while !engine.maintenance.is_stopped() {
        if engine.maintenance.wait_until(next_run) {
            checkpoint(db);
            engine
                .maintenance
                .pause_until(Instant::now() + CHECKPOINT_PAUSE);
        }
        if Instant::now() >= next_run {
            let may_continue = || !engine.maintenance.is_stopped();
            if let Err(error) = retention::trim(engine, may_continue) {
                tracing::warn!(reason = %error, "cannot trim the log");
            }
            if let Err(error) = sessions.run(engine, may_continue) {
                tracing::warn!(reason = %error, "cannot remove expired login sessions");
            }
            next_run = Instant::now() + interval;
        }
    }
}

/// Copies committed pages from the WAL into the database. Passive: it never blocks the writer, and
/// leaves the pages that it can't copy to the next checkpoint.
fn checkpoint(db: &Connection) {
    let pages = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        row.get::<_, i64>(1)
    });
    match pages {
        Ok(pages) => metrics::gauge!("lakechat_wal_pages").set(pages as f64),
        Err(error) => tracing::warn!(reason = %error, "cannot checkpoint the WAL"),
    }
}
