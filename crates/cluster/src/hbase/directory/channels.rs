//! Channels: who made them and what they are. Topic and archival in the same rows are history's.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::cell::Cell;
use super::super::client::Core;
use super::super::error::Fault;
use super::super::row::Row;
use super::super::row_key;
use super::super::scan::Scan;
use super::super::tables::Table;
use lakechat_core::domain::{Channel, ChannelKind, ChannelName, UserName};
use lakechat_core::ports::directory::CreateOutcome;

/// What the names of direct channels begin with, and no other name does.
const DIRECT: &[u8] = b"dm:";

/// `d:v` of a channel's row.
#[derive(Serialize, Deserialize)]
struct Value {
    kind: ChannelKind,
    creator: Option<UserName>,
    created_at: u64,
    /// Tells the one who made the channel from others who wanted it in the same millisecond.
    nonce: Uuid,
}

fn cell(name: &ChannelName) -> Cell {
    Cell::new(Table::Channels, name.as_str(), "d:v")
}

pub(super) async fn create(
    core: &Core,
    channel: &Channel,
) -> Result<CreateOutcome<Channel>, Fault> {
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
    let Some(stands) = cell(&made.name).claim(core, value).await? else {
        return Ok(CreateOutcome::Created);
    };
    let stands = decode(made.name.clone(), &stands)?;
    Ok(if stands == made {
        CreateOutcome::Created
    } else {
        CreateOutcome::Exists(stands)
    })
}

pub(super) async fn find(core: &Core, name: &ChannelName) -> Result<Option<Channel>, Fault> {
    let found = cell(name).read(core).await?;
    found.map(|json| decode(name.clone(), &json)).transpose()
}

/// Direct channels stand together among the others and are as many as all of them: they are left
/// out by two stretches, not row by row.
pub(super) async fn public(
    core: &Core,
    after: Option<&ChannelName>,
    limit: usize,
) -> Result<Vec<Channel>, Fault> {
    let first = after.map(|name| row_key::next(name.as_str().as_bytes().to_vec()));
    let first = first.unwrap_or_else(|| vec![0]);
    let behind = row_key::end_of(DIRECT.to_vec());
    let stretches = [
        (first.clone(), DIRECT.to_vec()),
        (first.max(behind), vec![0xff]),
    ];
    let read = move |connection: &mut _, tables: &_| {
        let mut found = Vec::new();
        for (from, to) in &stretches {
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
    core.read(read).await
}

fn public_channel(row: Row) -> Result<Option<Channel>, Fault> {
    let name = std::str::from_utf8(&row.key).ok();
    let name = name.and_then(|name| ChannelName::parse(name).ok());
    let name = name.ok_or_else(|| row.damaged("its key"))?;
    let channel = decode(name, row.bytes("d:v").unwrap_or_default())?;
    Ok(Some(channel).filter(|channel| channel.kind == ChannelKind::Public))
}

fn decode(name: ChannelName, json: &[u8]) -> Result<Channel, Fault> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|_| Fault::damaged(name.as_str().as_bytes(), "d:v"))?;
    Ok(Channel {
        name,
        kind: value.kind,
        creator: value.creator,
        created_at_ms: value.created_at,
        topic: None,
        archived: None,
    })
}
