//! Row `log` of `meta`: what all servers have to agree on about the log.

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::client::Client;
use super::error::HBaseError;
use super::row_key::LOG;
use super::tables::Table;
use lakechat_core::domain::Id;
use lakechat_core::ports::directory::CreateOutcome;

/// The version of the row contract that this release reads and writes.
pub const CONTRACT: u32 = 1;

/// The log that the rows were written from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// The version of the row contract.
    pub contract: u32,
    /// The Kafka topic.
    pub topic: String,
    /// Its number of partitions. A channel's partition depends on it, so it never changes.
    pub partitions: u16,
    /// How long the log recognizes a retry, in ms.
    pub window_ms: u64,
    /// Rises with each adoption of another log. Each generation has marks of its own.
    pub generation: u32,
    /// By partition, the last id before this generation; empty for the first generation.
    pub floors: Vec<Id>,
}

fn cell() -> Cell {
    Cell::new(Table::Meta, LOG, "d:v")
}

pub(super) async fn read(client: &Client) -> Result<Option<LogRow>, HBaseError> {
    let found = cell().read(client).await?;
    found.map(|bytes| decode(&bytes)).transpose()
}

pub(super) async fn create(
    client: &Client,
    row: &LogRow,
) -> Result<CreateOutcome<LogRow>, HBaseError> {
    match cell().claim(client, encode(row)).await? {
        None => Ok(CreateOutcome::Created),
        Some(stored) => match decode(&stored)? {
            stored if stored == *row => Ok(CreateOutcome::Created),
            stored => Ok(CreateOutcome::Exists(stored)),
        },
    }
}

pub(super) async fn replace(
    client: &Client,
    old: &LogRow,
    new: &LogRow,
) -> Result<bool, HBaseError> {
    let Some(stored) = cell().read(client).await? else {
        return Ok(false);
    };
    match decode(&stored)? {
        row if row == *new => Ok(true),
        row if row == *old => cell().replace(client, stored, encode(new)).await,
        _ => Ok(false),
    }
}

fn encode(row: &LogRow) -> Vec<u8> {
    serde_json::to_vec(row).expect("a row is JSON")
}

pub(super) fn decode(json: &[u8]) -> Result<LogRow, HBaseError> {
    #[derive(Deserialize)]
    struct Version {
        contract: u32,
    }
    let damaged = |_| HBaseError::damaged(LOG.as_bytes(), "d:v");
    let Version { contract } = serde_json::from_slice(json).map_err(damaged)?;
    if contract > CONTRACT {
        return Err(HBaseError::Broken(format!(
            "row `log` has row contract {contract}, and this release supports {CONTRACT}: upgrade lakechat"
        )));
    }
    serde_json::from_slice(json).map_err(damaged)
}
