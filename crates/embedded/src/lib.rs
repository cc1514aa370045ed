//! Everything on one machine: broker, history and directory in one SQLite file, files in a folder.
//!
//! One thread writes ([`writer`]): it takes all that is queued, runs it as one transaction and
//! answers after the commit, so many senders share one fsync. Reads have connections of their own
//! and never wait for it. What lies in the folder is written down in `docs/data-folder.md`.

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
mod history;
mod log_reader;
mod maintenance;
mod memory_presence;
mod offsets;
mod part;
mod queue;
mod read_pool;
mod recent_records;
mod row_cache;
mod settings;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;

use self::directory::SqliteDirectory;
use self::engine::Core;
use self::file_store::FolderStore;
use self::folder::{DataFolder, Lock};
use self::maintenance::Keeper;
use self::writer::Writer;
use lakechat_core::ports::{Broker, Directory, FileStore, History, PortError};

pub use self::backup::{BackupError, Progress, backup};
pub use self::folder::{DATABASE, FILES, KEY, LAYOUT, OpenError};
pub use self::memory_presence::MemoryPresence;
pub use self::settings::Settings;

/// An open data folder. Dropping it writes what is queued, and lets the folder go.
///
/// The ports may outlive it; they answer `Unavailable` then.
pub struct Embedded {
    core: Arc<Core>,
    files: Arc<FolderStore>,
    // Dropped in this order: nothing may write once the lock is gone.
    _keeper: Keeper,
    _writer: Writer,
    _lock: Lock,
}

impl Embedded {
    /// Opens a data folder, and makes it if there is none. Blocks for some milliseconds, or for as
    /// long as SQLite needs to recover after a crash.
    pub fn open(data_dir: &Path, settings: Settings) -> Result<Embedded, OpenError> {
        let (folder, lock) = DataFolder::open(data_dir)?;
        let database = database::open(&folder, &settings)?;
        let core = Arc::new(Core::new(&folder, &settings, &database)?);
        let writer =
            Writer::start(database, Arc::clone(&core)).map_err(|source| OpenError::Io {
                path: folder.database(),
                source,
            })?;
        Ok(Embedded {
            files: Arc::new(FolderStore::new(&folder)),
            _keeper: Keeper::start(&folder, &settings, Arc::clone(&core))?,
            _writer: writer,
            _lock: lock,
            core,
        })
    }

    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(broker::SqliteBroker::new(Arc::clone(&self.core)))
    }

    pub fn history(&self) -> Arc<dyn History> {
        Arc::new(history::SqliteHistory::new(Arc::clone(&self.core)))
    }

    pub fn directory(&self) -> Directory {
        Directory::of(Arc::new(SqliteDirectory::new(Arc::clone(&self.core))))
    }

    pub fn file_store(&self) -> Arc<dyn FileStore> {
        Arc::clone(&self.files) as Arc<dyn FileStore>
    }

    /// Waits until the database can't be trusted any more (an I/O error, damage) and says why. The
    /// process has to end then: what SQLite could not sync may be lost by the kernel, so only
    /// opening the folder anew tells what is on the disk. Dropping is safe.
    pub async fn failed(&self) -> Arc<str> {
        self.core.health.failed().await
    }

    /// Trims the log below where a warm-up at the marks would begin; tells how many records went.
    /// The adapter does so by itself once a minute.
    pub async fn trim(&self) -> Result<usize, PortError> {
        let core = Arc::clone(&self.core);
        let trimmed =
            tokio::task::spawn_blocking(move || maintenance::retention::trim(&core, || true)).await;
        trimmed.unwrap_or_else(|panic| {
            Err(PortError::Broken {
                part: part::BROKER,
                reason: panic.to_string(),
            })
        })
    }
}
