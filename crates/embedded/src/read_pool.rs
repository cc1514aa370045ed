//! Connections that read, opened as they are needed and kept.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::Semaphore;

use super::database;
use super::fault::Fault;
use super::folder::DataFolder;
use super::settings::Settings;

pub(super) struct Readers {
    path: PathBuf,
    busy: Duration,
    idle: Mutex<Vec<Connection>>,
    /// As many reads run side by side; who comes later waits. Each waiting read belongs to a request
    /// or a frame, whose number is bounded elsewhere.
    places: Arc<Semaphore>,
}

impl Readers {
    pub fn new(folder: &DataFolder, settings: &Settings) -> Readers {
        Readers {
            path: folder.database(),
            busy: settings.busy_timeout,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(settings.read_connections)),
        }
    }

    pub async fn wait(&self) -> tokio::sync::OwnedSemaphorePermit {
        let places = Arc::clone(&self.places);
        places.acquire_owned().await.expect("never closed")
    }

    /// Runs work on one state of the database. Blocks. The transaction ends with it: one left open
    /// would keep the WAL growing.
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

    /// A connection of one's own.
    pub fn connect(&self) -> rusqlite::Result<Connection> {
        database::open_reader(&self.path, self.busy)
    }

    fn pop(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("nothing panics under it")
    }
}
