//! The stamp of the latest sweep of files: row `swept` of table `files`.
//!
//! It is in the table that sweeps rely on: a table that was restored from a snapshot has the stamp of that
//! time, and HDFS a later one.

use super::client::Client;
use super::error::HBaseError;
use super::put::{self, Put};
use super::row;
use super::tables::Table;

/// No file has this id.
const ROW: &str = "swept";
const COLUMN: &str = "d:at";

/// `None` before the first sweep.
pub(super) async fn read(client: &Client) -> Result<Option<u64>, HBaseError> {
    let read = |connection: &mut _, tables: &_| {
        let row = row::get(connection, tables, Table::Files, ROW.as_bytes(), &[COLUMN])?;
        row.map_or(Ok(None), |row| {
            row.maybe(COLUMN, |stamp| stamp.parse().ok())
        })
    };
    client.read(read).await
}

/// Raises the stamp. It is the cell's timestamp, too: so a lower one changes nothing.
pub(super) async fn raise(client: &Client, stamp: u64) -> Result<(), HBaseError> {
    let timestamp = i64::try_from(stamp).expect("times use 63 bits");
    let puts = [Put::new(ROW.into()).cell(COLUMN, stamp.to_string())];
    let write = move |connection: &mut _, tables: &_| {
        put::rows(connection, tables, Table::Files, timestamp, &puts)
    };
    client.write(write).await
}
