//! A pool of read connections: opened when needed, and kept.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::database;
use super::fault::Fault;
use super::folder::DataFolder;
use super::settings::EmbeddedSettings;

pub(super) struct ReadPool {
    path: PathBuf,
    busy_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
    /// Bounds the reads that run at a time; further ones wait. Each waiting read belongs to a request
    /// or a frame, whose number is bounded elsewhere.
    permits: Arc<Semaphore>,
}

impl ReadPool {
    pub fn new(folder: &DataFolder, settings: &EmbeddedSettings) -> ReadPool {
        ReadPool {
            path: folder.database(),
            busy_timeout: settings.busy_timeout,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(settings.read_connections)),
        }
    }

    /// Waits for permission to read.
    pub async fn permit(&self) -> OwnedSemaphorePermit {
        let permits = Arc::clone(&self.permits);
        permits.acquire_owned().await.expect("never closed")
    }

    /// Runs `work` on one snapshot of the database. Blocks. The transaction ends with the work: an
    /// open one would keep SQLite from reusing the WAL, which then grows.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Fault> {
        let db = match self.pop() {
            Some(db) => db,
            None => self.connect()?,
        };
        let result =
            Transaction::new_unchecked(&db, TransactionBehavior::Deferred).and_then(|tx| work(&tx));
        self.idle().push(db);
        Ok(result?)
    }

    /// Opens a connection outside the pool.
    pub fn connect(&self) -> rusqlite::Result<Connection> {
        database::open_reader(&self.path, self.busy_timeout)
    }

    fn pop(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("nothing panics while holding it")
    }
}
