//! The thread that keeps the database in shape: checkpoints beside the writer, trims the log, removes
//! sessions that have ended.

pub(super) mod expired_sessions;
pub(super) mod retention;
pub(super) mod signal;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use self::expired_sessions::Walk;
use super::database;
use super::engine::Core;
use super::folder::{DataFolder, OpenError};
use super::settings::Settings;

/// Between two checkpoints: each costs two fsyncs.
const PAUSE: Duration = Duration::from_millis(100);

/// The thread's owner; dropping it ends the thread.
pub(super) struct Keeper {
    core: Arc<Core>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn start(
        folder: &DataFolder,
        settings: &Settings,
        core: Arc<Core>,
    ) -> Result<Keeper, OpenError> {
        let path = folder.database();
        let db =
            database::open_keeper(&path, Duration::ZERO).map_err(|source| OpenError::Database {
                path: path.clone(),
                source,
            })?;
        let every = settings.maintenance_interval;
        let keeping = Arc::clone(&core);
        let thread = thread::Builder::new()
            .name("embedded-keeper".into())
            .spawn(move || keep(&db, &keeping, every))
            .map_err(|source| OpenError::Io { path, source })?;
        Ok(Keeper {
            core,
            thread: Some(thread),
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.core.maintenance.stop();
        if let Some(thread) = self.thread.take() {
            // After a panic the writer checkpoints by itself, and nothing is trimmed.
            let _ = thread.join();
        }
    }
}

fn keep(db: &Connection, core: &Core, trim_every: Duration) {
    let mut trim_at = Instant::now() + trim_every;
    let mut sessions = Walk::default();
    while !core.maintenance.is_stopped() {
        if core.maintenance.wait_until(trim_at) {
            checkpoint(db);
            core.maintenance.pause_until(Instant::now() + PAUSE);
        }
        if Instant::now() >= trim_at {
            let go_on = || !core.maintenance.is_stopped();
            if let Err(error) = retention::trim(core, go_on) {
                tracing::warn!(reason = %error, "the log could not be trimmed");
            }
            if let Err(error) = sessions.turn(core, go_on) {
                tracing::warn!(reason = %error, "ended login sessions could not be removed");
            }
            trim_at = Instant::now() + trim_every;
        }
    }
}

/// Moves what is committed from the WAL into the database. Does not hold up the writer; what it
/// leaves, the next one or the writer's own does.
fn checkpoint(db: &Connection) {
    let moved = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        row.get::<_, i64>(1)
    });
    match moved {
        Ok(pages) => metrics::gauge!("lakechat_wal_pages").set(pages as f64),
        Err(error) => tracing::warn!(reason = %error, "a checkpoint failed"),
    }
}
