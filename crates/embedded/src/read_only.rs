//! A data folder that is only read: no lock is taken, so a server may be writing to it.

use std::path::Path;
use std::sync::Arc;

use super::broker::SqliteBroker;
use super::database;
use super::directory::SqliteDirectory;
use super::engine::Engine;
use super::file_store::FolderStore;
use super::folder::{DataFolder, OpenError};
use super::history::SqliteHistory;
use super::settings::EmbeddedSettings;
use lakechat_core::ports::{Broker, Directory, FileStore, History};

/// Reads the data folder of a running or stopped server.
///
/// Readers of the log read up to where it ended at the latest call of
/// [`Broker::end_offsets`]; everything else is read as it is at the time of the call. Calls that write to the database return `Unavailable`. Those that write files work, so
/// the caller must not make any.
pub struct ReadOnlyEmbedded {
    engine: Arc<Engine>,
    files: Arc<FolderStore>,
}

impl ReadOnlyEmbedded {
    /// Opens a complete data folder. Blocks for some milliseconds.
    pub fn open(
        data_dir: &Path,
        settings: &EmbeddedSettings,
    ) -> Result<ReadOnlyEmbedded, OpenError> {
        let folder = DataFolder::existing(data_dir)?;
        let database = database::open_existing(&folder, settings.busy_timeout)?;
        let engine = Engine {
            is_read_only: true,
            ..Engine::new(&folder, settings, &database)?
        };
        // There is no writer.
        engine.queue.abandon();
        Ok(ReadOnlyEmbedded {
            engine: Arc::new(engine),
            files: Arc::new(FolderStore::new(&folder)),
        })
    }

    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(SqliteBroker::new(Arc::clone(&self.engine)))
    }

    pub fn history(&self) -> Arc<dyn History> {
        Arc::new(SqliteHistory::new(Arc::clone(&self.engine)))
    }

    pub fn directory(&self) -> Directory {
        Directory::of(Arc::new(SqliteDirectory::new(Arc::clone(&self.engine))))
    }

    pub fn file_store(&self) -> Arc<dyn FileStore> {
        Arc::clone(&self.files) as Arc<dyn FileStore>
    }
}
