//! Writing rows.

use hbase_thrift::hbase::{BatchMutation, Mutation, THbaseSyncClient};

use super::connection::{Connection, no_attributes};
use super::error::HBaseError;
use super::tables::{Table, Tables};
use super::timestamp::CellTimestamp;

/// The cells of one row.
#[derive(Clone, Debug)]
pub(super) struct Put(BatchMutation);

impl Put {
    pub fn new(row: Vec<u8>) -> Put {
        Put(BatchMutation::new(row, Vec::new()))
    }

    /// Adds a cell; `column` is `family:qualifier`.
    pub fn cell(mut self, column: &str, value: impl Into<Vec<u8>>) -> Put {
        self.add(column, value);
        self
    }

    pub fn add(&mut self, column: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let cells = self.0.mutations.get_or_insert_default();
        cells.push(mutation(column, value));
    }

    pub fn maybe<V: Into<Vec<u8>>>(self, column: &str, value: Option<V>) -> Put {
        match value {
            Some(value) => self.cell(column, value),
            None => self,
        }
    }
}

/// A cell, with an entry in the write-ahead log.
pub(super) fn mutation(column: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Mutation {
    Mutation::new(false, column.into(), value.into(), true)
}

/// The removal of all versions of a column.
fn removal(column: Vec<u8>) -> Mutation {
    Mutation::new(true, column, None, true)
}

/// Writes rows whose cells get one timestamp. After an error, any of them may have been written.
pub(super) fn rows(
    connection: &mut Connection,
    tables: &Tables,
    table: Table,
    timestamp: CellTimestamp,
    puts: &[Put],
) -> Result<(), HBaseError> {
    let name = tables.bytes(table);
    let batch = puts.iter().map(|put| put.0.clone()).collect();
    connection.call("mutateRowsTs", |client| {
        client.mutate_rows_ts(name, batch, timestamp, no_attributes())
    })?;
    let written = metrics::counter!("lakechat_hbase_rows_total", "table" => table.name());
    written.increment(puts.len() as u64);
    Ok(())
}

/// Removes columns of a row.
pub(super) fn remove(
    connection: &mut Connection,
    tables: &Tables,
    table: Table,
    row: &[u8],
    columns: &[Vec<u8>],
) -> Result<(), HBaseError> {
    let (name, row) = (tables.bytes(table), row.to_vec());
    let removals = columns.iter().cloned().map(removal).collect();
    connection.call("mutateRow", |client| {
        client.mutate_row(name, row, removals, no_attributes())
    })
}

/// Removes all columns of a row.
pub(super) fn remove_row(
    connection: &mut Connection,
    tables: &Tables,
    table: Table,
    row: &[u8],
) -> Result<(), HBaseError> {
    let (name, row) = (tables.bytes(table), row.to_vec());
    connection.call("deleteAllRow", |client| {
        client.delete_all_row(name, row, no_attributes())
    })
}
