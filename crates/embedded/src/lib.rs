//! The back ends on one machine: broker, history and directory in one SQLite file, files in a folder.
//!
//! `Embedded` opens a data folder and gives out the ports. Each port's adapter is a file of its own
//! (`broker`, `history`, `directory`, `file_store`, `memory_presence`). The three on SQLite
//! share an `engine`:
//!
//! - One thread writes (`writer`). It turns everything queued (`queue`) into one transaction and
//!   answers after the commit, so that many senders share one fsync.
//! - Reads use connections of their own (`read_pool`) and never wait for the writer. The log's reader
//!   (`log_reader`) usually finds the last records in memory (`recent_records`); sessions and
//!   memberships are cached (`row_cache`).
//! - A second thread does the `maintenance`: checkpoints, trimming the log, removing expired sessions.
//! - A fatal error of the database is permanent (`health`); `fault` decides which errors are fatal.
//!
//! `folder` knows the data folder's layout and lock, `database` the schema and the pragmas.
//! `docs/data-folder.md` describes both for operators.

mod backup;
mod broker;
mod clock;
mod columns;
mod database;
mod directory;
mod engine;
mod fault;
mod file_store;
mod folder;
mod health;
mod history;
mod log_reader;
mod maintenance;
mod memory_presence;
mod offsets;
mod part;
mod queue;
mod read_only;
mod read_pool;
mod recent_records;
mod row_cache;
mod settings;
mod sqlite_log;
mod sweep_guard;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;

use self::directory::SqliteDirectory;
use self::engine::Engine;
use self::file_store::FolderStore;
use self::folder::{DataFolder, FolderLock};
use self::maintenance::Maintenance;
use self::writer::Writer;
use lakechat_core::ports::{Broker, Directory, FileStore, History, PortError};

pub use self::backup::{BackupError, BackupProgress, backup};
pub use self::folder::{DATABASE, FILES, KEY, LAYOUT, OpenError};
pub use self::memory_presence::MemoryPresence;
pub use self::read_only::ReadOnlyEmbedded;
pub use self::settings::EmbeddedSettings;
pub use self::sweep_guard::SameFolder;

/// An open data folder. Dropping it writes what is queued and unlocks the folder; that blocks.
///
/// Ports that outlive it return `Unavailable`.
pub struct Embedded {
    engine: Arc<Engine>,
    files: Arc<FolderStore>,
    // Dropped in this order: nothing may write once the lock is released.
    _maintenance: Maintenance,
    _writer: Writer,
    _lock: FolderLock,
}

impl Embedded {
    /// Opens a data folder and creates it if it doesn't exist. Blocks for some milliseconds, after a
    /// crash for as long as SQLite needs to recover.
    pub fn open(data_dir: &Path, settings: EmbeddedSettings) -> Result<Embedded, OpenError> {
        let (folder, lock) = DataFolder::open(data_dir)?;
        let database = database::open(&folder, &settings)?;
        let engine = Arc::new(Engine::new(&folder, &settings, &database)?);
        let writer =
            Writer::start(database, Arc::clone(&engine)).map_err(|source| OpenError::Io {
                path: folder.database(),
                source,
            })?;
        Ok(Embedded {
            files: Arc::new(FolderStore::new(&folder)),
            _maintenance: Maintenance::start(&folder, &settings, Arc::clone(&engine))?,
            _writer: writer,
            _lock: lock,
            engine,
        })
    }

    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(broker::SqliteBroker::new(Arc::clone(&self.engine)))
    }

    pub fn history(&self) -> Arc<dyn History> {
        Arc::new(history::SqliteHistory::new(Arc::clone(&self.engine)))
    }

    pub fn directory(&self) -> Directory {
        Directory::of(Arc::new(SqliteDirectory::new(Arc::clone(&self.engine))))
    }

    pub fn file_store(&self) -> Arc<dyn FileStore> {
        Arc::clone(&self.files) as Arc<dyn FileStore>
    }

    /// Waits until the database can't be trusted any more (an I/O error, damage) and returns the
    /// reason. The process has to end then: the kernel may have dropped pages that SQLite could not
    /// sync, so only reopening the folder shows what is on the disk. Dropping the future is safe.
    pub async fn failed(&self) -> Arc<str> {
        self.engine.health.failed().await.to_string().into()
    }

    /// Trims the log below where a warm-up at the marks begins; returns the number of deleted
    /// records. The maintenance thread does the same once per interval.
    pub async fn trim(&self) -> Result<usize, PortError> {
        let engine = Arc::clone(&self.engine);
        let trimmed =
            tokio::task::spawn_blocking(move || maintenance::retention::trim(&engine, || true))
                .await;
        trimmed.unwrap_or_else(|panic| Err(PortError::broken(part::BROKER, panic)))
    }
}
