//! History and directory in HBase, through its Thrift1 service.
//!
//! The rows are a contract that analysts read: tables, row keys, columns and values are those of
//! the row contract, all of them UTF-8 text. Everything that is written leaves the same cells however often it is
//! written; what people decide by who comes first is one cell and one `checkAndPut`.
//!
//! Thrift's client blocks, so it lives on threads of its own ([`worker`]), each with a connection.

mod cell;
mod client;
mod connection;
mod directory;
mod error;
mod health_check;
mod history;
mod log_row;
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
mod tables;
mod timestamp;
mod worker;

use std::io;
use std::sync::Arc;

use self::client::Core;
use self::directory::HBaseDirectory;
use self::error::Fault;
use self::history::HBaseHistory;
pub use self::log_row::{CONTRACT, LogRow};
use self::pool::Lines;
pub use self::schema::SchemaError;
pub use self::settings::Settings;
use self::tables::Tables;
use lakechat_core::ports::directory::CreateOutcome;
use lakechat_core::ports::{Directory, History, PortError};

/// What row `log` is a part of.
const PART: &str = "history";

/// The way to HBase. The ports may outlive it: the connections end with the last of them.
pub struct HBase {
    core: Arc<Core>,
}

impl HBase {
    /// Starts the threads; they connect when there is something to do. Fails only where no thread
    /// can be started.
    pub fn start(settings: &Settings) -> io::Result<HBase> {
        let tables = Arc::new(Tables::new(settings));
        let core = Core::new(Lines::start(settings, &tables)?, tables);
        Ok(HBase {
            core: Arc::new(core),
        })
    }

    /// History of a log: its partitions and its generation are those of row `log`.
    pub fn history(&self, partitions: u16, generation: u32) -> Arc<dyn History> {
        let core = Arc::clone(&self.core);
        Arc::new(HBaseHistory::new(core, partitions, generation))
    }

    pub fn directory(&self) -> Directory {
        Directory::of(Arc::new(HBaseDirectory::new(Arc::clone(&self.core))))
    }

    /// Compares the tables with those that this release needs; with `regions`, whether they are
    /// split into as many at least.
    pub async fn check_schema(&self, regions: Option<u16>) -> Result<(), SchemaError> {
        schema::check(&self.core, regions).await
    }

    /// Row `log`; None before the first server started.
    pub async fn log_row(&self) -> Result<Option<LogRow>, PortError> {
        log_row::read(&self.core).await.map_err(port_error)
    }

    /// Makes row `log` where there is none. `Unavailable` leaves open whether it was made; a retry
    /// is safe.
    pub async fn create_log_row(&self, row: &LogRow) -> Result<CreateOutcome<LogRow>, PortError> {
        log_row::create(&self.core, row).await.map_err(port_error)
    }

    /// Replaces row `log` if it still is `old`; tells whether it was (or is `new` already).
    pub async fn replace_log_row(&self, old: &LogRow, new: &LogRow) -> Result<bool, PortError> {
        let replaced = log_row::replace(&self.core, old, new);
        replaced.await.map_err(port_error)
    }
}

fn port_error(fault: Fault) -> PortError {
    fault.into_port_error(PART)
}
