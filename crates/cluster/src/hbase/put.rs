//! Cells on their way into a row.

use hbase_thrift::hbase::{BatchMutation, Mutation, THbaseSyncClient};

use super::connection::{Connection, plain};
use super::error::Fault;
use super::tables::{Table, Tables};
use super::timestamp::Stamp;

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

/// One cell, written to the write-ahead log.
pub(super) fn mutation(column: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Mutation {
    Mutation::new(false, column.into(), value.into(), true)
}

/// All cells of one column, removed.
fn removal(column: Vec<u8>) -> Mutation {
    Mutation::new(true, column, None, true)
}

/// Writes rows with one stamp. All are there when it returns; on an error some may be.
pub(super) fn rows(
    connection: &mut Connection,
    tables: &Tables,
    table: Table,
    stamp: Stamp,
    puts: &[Put],
) -> Result<(), Fault> {
    let name = tables.bytes(table);
    let batch = puts.iter().map(|put| put.0.clone()).collect();
    connection.call("mutateRowsTs", |client| {
        client.mutate_rows_ts(name, batch, stamp, plain())
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
) -> Result<(), Fault> {
    let (name, row) = (tables.bytes(table), row.to_vec());
    let removals = columns.iter().cloned().map(removal).collect();
    connection.call("mutateRow", |client| {
        client.mutate_row(name, row, removals, plain())
    })
}
