//! The creation of channels. Topic and archival, in the same rows, belong to history.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::cell::Cell;
use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::row::Row;
use super::super::row_key;
use super::super::scan::Scan;
use super::super::tables::Table;
use lakechat_core::domain::{Channel, ChannelKind, ChannelName, UserName};
use lakechat_core::ports::directory::CreateOutcome;

/// The prefix of the names of direct channels, and of no others.
const DIRECT: &[u8] = b"dm:";

/// `d:v` of a channel's row.
#[derive(Serialize, Deserialize)]
struct Value {
    kind: ChannelKind,
    creator: Option<UserName>,
    created_at: u64,
    /// Distinguishes requests that create the same channel in the same millisecond.
    nonce: Uuid,
}

fn cell(name: &ChannelName) -> Cell {
    Cell::new(Table::Channels, name.as_str(), "d:v")
}

pub(super) async fn create(
    client: &Client,
    channel: &Channel,
) -> Result<CreateOutcome<Channel>, HBaseError> {
    let made = Channel {
        topic: None,
        archived: None,
        ..channel.clone()
    };
    let value = Value {
        kind: made.kind,
        creator: made.creator.clone(),
        created_at: made.created_at_ms,
        nonce: Uuid::new_v4(),
    };
    let value = serde_json::to_vec(&value).expect("a channel is JSON");
    let Some(stored) = cell(&made.name).claim(client, value).await? else {
        return Ok(CreateOutcome::Created);
    };
    let stored = decode(made.name.clone(), &stored)?;
    Ok(if stored == made {
        CreateOutcome::Created
    } else {
        CreateOutcome::Exists(stored)
    })
}

pub(super) async fn find(
    client: &Client,
    name: &ChannelName,
) -> Result<Option<Channel>, HBaseError> {
    let found = cell(name).read(client).await?;
    found.map(|json| decode(name.clone(), &json)).transpose()
}

/// Direct channels are many, and contiguous in the order of names: two scans leave them out, one up to them
/// and one after them.
pub(super) async fn public(
    client: &Client,
    after: Option<&ChannelName>,
    limit: usize,
) -> Result<Vec<Channel>, HBaseError> {
    let first = after.map(|name| row_key::next(name.as_str().as_bytes().to_vec()));
    let first = first.unwrap_or_else(|| vec![0]);
    let behind = row_key::end_of(DIRECT.to_vec());
    let ranges = [
        (first.clone(), DIRECT.to_vec()),
        (first.max(behind), vec![0xff]),
    ];
    let read = move |connection: &mut _, tables: &_| {
        let mut found = Vec::new();
        for (from, to) in &ranges {
            let scan = Scan {
                table: Table::Channels,
                from: from.clone(),
                to: to.clone(),
                reversed: false,
                columns: &["d:v"],
            };
            let limit = limit - found.len();
            found.extend(scan.collect(connection, tables, limit, public_channel)?);
        }
        Ok(found)
    };
    client.read(read).await
}

fn public_channel(row: Row) -> Result<Option<Channel>, HBaseError> {
    let name = std::str::from_utf8(&row.key).ok();
    let name = name.and_then(|name| ChannelName::parse(name).ok());
    let name = name.ok_or_else(|| row.damaged("its key"))?;
    let channel = decode(name, row.bytes("d:v").unwrap_or_default())?;
    Ok(Some(channel).filter(|channel| channel.kind == ChannelKind::Public))
}

fn decode(name: ChannelName, json: &[u8]) -> Result<Channel, HBaseError> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|_| HBaseError::damaged(name.as_str().as_bytes(), "d:v"))?;
    Ok(Channel {
        name,
        kind: value.kind,
        creator: value.creator,
        created_at_ms: value.created_at,
        topic: None,
        archived: None,
    })
}
