//! History and directory in HBase, through its Thrift1 service.
//!
//! Analysts read the rows, so tables, row keys, columns and values are a contract (docs/rows.md), all of
//! them UTF-8 text. Every write is idempotent: repeated, it leaves the same cells. A name that the first
//! of several writers gets is one cell, written by one `checkAndPut`.
//!
//! Thrift's client blocks, so it runs on threads of its own ([`worker`]), each with a connection.

mod cell;
mod client;
mod connection;
mod directory;
mod error;
mod health_check;
mod history;
mod installation;
mod lanes;
mod log_row;
mod memberships;
mod pool;
mod put;
mod queue;
mod row;
mod row_key;
mod scan;
pub mod schema;
mod server;
mod settings;
mod socket_handle;
mod sweep_stamp;
mod tables;
mod timestamp;
mod worker;

use std::io;
use std::sync::Arc;

use self::client::Client;
use self::directory::HBaseDirectory;
use self::error::HBaseError;
use self::history::{HBaseHistory, marks};
pub use self::log_row::{CONTRACT, GenerationStart, LogRow};
use self::pool::ConnectionPool;
pub use self::schema::SchemaError;
pub use self::settings::HBaseSettings;
use self::tables::{Table, Tables};
use crate::owner::Installation;
use lakechat_core::ports::directory::CreateOutcome;
use lakechat_core::ports::{Directory, History, PortError};

/// The part that errors about row `log` name.
const PART: &str = "history";

/// The connections to HBase. The ports share them and may outlive this: the last one closes them.
#[derive(Clone)]
pub struct HBase {
    client: Arc<Client>,
}

impl HBase {
    /// Starts the threads, which connect when there is something to do. An error means that a thread could
    /// not be started.
    pub fn start(settings: &HBaseSettings) -> io::Result<HBase> {
        let tables = Arc::new(Tables::new(settings));
        let client = Client::new(ConnectionPool::start(settings, &tables)?, tables);
        Ok(HBase {
            client: Arc::new(client),
        })
    }

    /// The history of a log, whose partitions and generation row `log` has.
    pub fn history(&self, partitions: u16, generation: u32) -> Arc<dyn History> {
        let client = Arc::clone(&self.client);
        Arc::new(HBaseHistory::new(client, partitions, generation))
    }

    pub fn directory(&self) -> Directory {
        Directory::of(Arc::new(HBaseDirectory::new(Arc::clone(&self.client))))
    }

    /// Compares the tables with those that this release needs. With `regions`, the large ones must have at
    /// least that many.
    pub async fn check_schema(&self, regions: Option<u16>) -> Result<(), SchemaError> {
        schema::check(&self.client, regions).await
    }

    /// Row `log`; `None` before the first start of a server.
    pub async fn log_row(&self) -> Result<Option<LogRow>, PortError> {
        log_row::read(&self.client).await.map_err(port_error)
    }

    /// Creates row `log` unless it exists. `Unavailable` leaves it open whether it was created; a retry is
    /// safe.
    pub async fn create_log_row(&self, row: &LogRow) -> Result<CreateOutcome<LogRow>, PortError> {
        log_row::create(&self.client, row).await.map_err(port_error)
    }

    /// Replaces row `log` if it is still `old`; `true` if it was, or is `new` already.
    pub async fn replace_log_row(&self, old: &LogRow, new: &LogRow) -> Result<bool, PortError> {
        let replaced = log_row::replace(&self.client, old, new);
        replaced.await.map_err(port_error)
    }

    /// The latest generation that has marks; 0 if none has. It may be later than that of row `log`: its
    /// marks are left from an adoption that did not finish.
    pub async fn latest_marked_generation(&self) -> Result<u32, PortError> {
        let latest = marks::latest_generation(&self.client);
        latest.await.map_err(port_error)
    }

    /// The full name of table `meta`.
    pub fn meta_table(&self) -> String {
        self.client.tables.name(Table::Meta)
    }

    /// The installation that the tables are; `None` before the first start of a server.
    pub async fn installation(&self) -> Result<Option<Installation>, PortError> {
        installation::read(&self.client).await.map_err(port_error)
    }

    /// Gives the tables an id unless they have one. After `Unavailable` a retry is safe.
    pub async fn create_installation(&self) -> Result<Installation, PortError> {
        installation::create(&self.client).await.map_err(port_error)
    }

    /// The stamp of the latest sweep that table `files` has seen; `None` before the first one.
    pub async fn sweep_stamp(&self) -> Result<Option<u64>, PortError> {
        sweep_stamp::read(&self.client).await.map_err(port_error)
    }

    /// Raises that stamp; a lower one than the stored one changes nothing.
    pub async fn raise_sweep_stamp(&self, stamp: u64) -> Result<(), PortError> {
        let raised = sweep_stamp::raise(&self.client, stamp);
        raised.await.map_err(port_error)
    }
}

fn port_error(error: HBaseError) -> PortError {
    error.into_port_error(PART)
}
