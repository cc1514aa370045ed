//! Row `log` of `meta`: what all servers have to agree on about the log.

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::client::Client;
use super::error::HBaseError;
use super::row_key::LOG;
use super::tables::Table;
use lakechat_core::domain::{Id, Partition};
use lakechat_core::ports::broker::Offset;
use lakechat_core::ports::directory::CreateOutcome;
use lakechat_core::ports::history::Mark;

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
    /// By partition, where this generation starts; empty for the first generation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<GenerationStart>,
}

/// Where a generation starts in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStart {
    /// The first offset of the generation. No server ever reads a record below it.
    pub begin: Offset,
    /// Up to which offset history had the partition when the generation started.
    pub offset: Offset,
    /// The append time of the last record below `offset` that was not late, ms since 1970; 0 if there is
    /// none.
    pub time: u64,
}

impl LogRow {
    /// By partition, the first offset of this generation; empty for the first generation.
    pub fn begins(&self) -> Vec<Offset> {
        self.starts.iter().map(|start| start.begin).collect()
    }

    /// The mark of a partition in which this generation has archived nothing yet.
    pub fn first_mark(&self, partition: Partition) -> Mark {
        let index = partition.index();
        let start = self.starts.get(index).copied().unwrap_or_default();
        Mark {
            offset: start.offset,
            id: self.floors.get(index).copied().unwrap_or(Id::ZERO),
            time_ms: start.time,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_starts_begins_at_offset_0_above_its_floors() {
        let stored = r#"{"contract":1,"topic":"t","partitions":2,"window_ms":600000,"generation":2,"floors":["00000000000000004711","00000000000000000000"]}"#;
        let row = decode(stored.as_bytes()).expect("readable");
        assert_eq!(encode(&row), stored.as_bytes(), "written as it was read");
        assert!(row.begins().is_empty());
        let mark = row.first_mark(Partition(0));
        assert_eq!((mark.offset, mark.id.as_u64(), mark.time_ms), (0, 4711, 0));
    }

    #[test]
    fn a_row_with_starts_has_a_mark_for_each_partition() {
        let start = |begin, offset, time| GenerationStart {
            begin,
            offset,
            time,
        };
        let row = LogRow {
            contract: CONTRACT,
            topic: "t".to_owned(),
            partitions: 2,
            window_ms: 600_000,
            generation: 2,
            floors: vec![Id::ZERO; 2],
            starts: vec![start(57, 57, 0), start(0, 12, 1_790_000_000_000)],
        };
        let row = decode(&encode(&row)).expect("readable");
        assert_eq!(row.begins(), [57, 0]);
        assert_eq!(row.first_mark(Partition(0)).offset, 57);
        let mark = row.first_mark(Partition(1));
        assert_eq!((mark.offset, mark.time_ms), (12, 1_790_000_000_000));
    }
}
