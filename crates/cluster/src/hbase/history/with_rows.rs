//! Which channels have rows of messages: the public ones, then the private ones.

use super::super::client::Client;
use super::super::connection::Connection;
use super::super::error::HBaseError;
use super::super::row_key;
use super::super::scan::Scan;
use super::super::tables::{Table, Tables};
use lakechat_core::ports::history::ChannelRows;

pub(super) async fn channels(
    client: &Client,
    after: Option<&ChannelRows>,
    limit: usize,
) -> Result<Vec<ChannelRows>, HBaseError> {
    let after = after.cloned();
    let read = move |connection: &mut Connection, tables: &Tables| {
        let mut found: Vec<ChannelRows> = Vec::new();
        while found.len() < limit {
            match next(connection, tables, found.last().or(after.as_ref()))? {
                Some(rows) => found.push(rows),
                None => break,
            }
        }
        Ok(found)
    };
    client.read(read).await
}

fn next(
    connection: &mut Connection,
    tables: &Tables,
    after: Option<&ChannelRows>,
) -> Result<Option<ChannelRows>, HBaseError> {
    let past = |rows: &ChannelRows| row_key::end_of(row_key::events_prefix(&rows.channel));
    let tables_left = match after {
        Some(rows) if rows.private => vec![(true, past(rows))],
        Some(rows) => vec![(false, past(rows)), (true, Vec::new())],
        None => vec![(false, Vec::new()), (true, Vec::new())],
    };
    for (private, from) in tables_left {
        // One row: the first of the next channel.
        let scan = Scan {
            table: Table::messages(private),
            from,
            to: b"g".to_vec(),
            reversed: false,
            columns: &["m:sender"],
        };
        let channel = |row: super::super::row::Row| {
            let channel = row_key::channel_of(&row.key);
            channel.map(Some).ok_or_else(|| row.damaged("its key"))
        };
        let found = scan.collect(connection, tables, 1, channel)?.pop();
        if let Some(channel) = found {
            return Ok(Some(ChannelRows { channel, private }));
        }
    }
    Ok(None)
}
