//! Topics and archival of channels, in the rows that the directory created.

use std::collections::HashMap;

use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::row::{self, Row};
use super::super::tables::Table;
use lakechat_core::domain::{Channel, Id};

const COLUMNS: &[&str] = &["d:topic", "d:topic_changed", "d:state", "d:state_changed"];

pub(super) async fn describe(client: &Client, channels: &mut [Channel]) -> Result<(), HBaseError> {
    if channels.is_empty() {
        return Ok(());
    }
    let name = |channel: &Channel| channel.name.as_str().as_bytes().to_vec();
    let names: Vec<_> = channels.iter().map(name).collect();
    let read = move |connection: &mut _, tables: &_| {
        row::get_all(connection, tables, Table::Channels, &names, COLUMNS)
    };
    let rows = client.read(read).await?.into_iter();
    let rows: HashMap<Vec<u8>, Row> = rows.map(|row| (row.key.clone(), row)).collect();
    for channel in channels {
        if let Some(row) = rows.get(channel.name.as_str().as_bytes()) {
            fill_in(channel, row)?;
        }
    }
    Ok(())
}

fn fill_in(channel: &mut Channel, row: &Row) -> Result<(), HBaseError> {
    let event = |id: &str| id.parse::<Id>().ok();
    if let Some(topic) = row.maybe("d:topic", |topic| Some(topic.to_owned()))? {
        channel.topic = Some((topic, row.need("d:topic_changed", event)?));
    }
    match row.bytes("d:state") {
        None => {}
        Some(b"archived") => channel.archived = Some(row.need("d:state_changed", event)?),
        Some(_) => return Err(row.damaged("d:state")),
    }
    Ok(())
}
