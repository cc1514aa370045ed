//! What all servers agree on about the log: row `log` of `meta`.

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::client::Core;
use super::error::Fault;
use super::row_key::LOG;
use super::tables::Table;
use lakechat_core::domain::Id;
use lakechat_core::ports::directory::CreateOutcome;

/// The row contract that this release reads and writes.
pub const CONTRACT: u32 = 1;

/// The log that the rows come from, as row `log` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// The version of the row contract.
    pub contract: u32,
    /// The Kafka topic.
    pub topic: String,
    /// Its partitions: they decide which of them a channel has, so they never change.
    pub partitions: u16,
    /// How long retries are known, in ms.
    pub window_ms: u64,
    /// Rises when another log is adopted; marks are of one generation.
    pub generation: u32,
    /// For each partition the last id before this generation; none for the first.
    pub floors: Vec<Id>,
}

fn cell() -> Cell {
    Cell::new(Table::Meta, LOG, "d:v")
}

pub(super) async fn read(core: &Core) -> Result<Option<LogRow>, Fault> {
    let found = cell().read(core).await?;
    found.map(|bytes| decode(&bytes)).transpose()
}

pub(super) async fn create(core: &Core, row: &LogRow) -> Result<CreateOutcome<LogRow>, Fault> {
    match cell().claim(core, encode(row)).await? {
        None => Ok(CreateOutcome::Created),
        Some(stands) => match decode(&stands)? {
            stands if stands == *row => Ok(CreateOutcome::Created),
            stands => Ok(CreateOutcome::Exists(stands)),
        },
    }
}

pub(super) async fn replace(core: &Core, old: &LogRow, new: &LogRow) -> Result<bool, Fault> {
    let Some(stands) = cell().read(core).await? else {
        return Ok(false);
    };
    match decode(&stands)? {
        row if row == *new => Ok(true),
        row if row == *old => cell().replace(core, stands, encode(new)).await,
        _ => Ok(false),
    }
}

fn encode(row: &LogRow) -> Vec<u8> {
    serde_json::to_vec(row).expect("a row is JSON")
}

pub(super) fn decode(json: &[u8]) -> Result<LogRow, Fault> {
    #[derive(Deserialize)]
    struct Version {
        contract: u32,
    }
    let damaged = |_| Fault::damaged(LOG.as_bytes(), "d:v");
    let Version { contract } = serde_json::from_slice(json).map_err(damaged)?;
    if contract > CONTRACT {
        return Err(Fault::Broken(format!(
            "row `log` is of row contract {contract} and this release knows {CONTRACT}; update lakechat"
        )));
    }
    serde_json::from_slice(json).map_err(damaged)
}
