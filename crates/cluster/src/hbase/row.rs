//! Reading rows.

use std::collections::BTreeMap;

use hbase_thrift::hbase::{TCell, THbaseSyncClient, TRowResult};

use super::connection::{Connection, no_attributes};
use super::error::HBaseError;
use super::tables::{Table, Tables};

#[derive(Debug)]
pub(super) struct Row {
    pub key: Vec<u8>,
    columns: BTreeMap<Vec<u8>, TCell>,
}

impl From<TRowResult> for Row {
    fn from(row: TRowResult) -> Row {
        Row {
            key: row.row.unwrap_or_default(),
            columns: row.columns.unwrap_or_default(),
        }
    }
}

impl Row {
    /// The bytes of a cell; `column` is `family:qualifier`.
    pub fn bytes(&self, column: &str) -> Option<&[u8]> {
        let cell = self.columns.get(column.as_bytes())?;
        Some(cell.value.as_deref().unwrap_or_default())
    }

    pub fn take(&mut self, column: &str) -> Option<Vec<u8>> {
        let cell = self.columns.remove(column.as_bytes())?;
        Some(cell.value.unwrap_or_default())
    }

    /// A parsed cell; `None` if it is absent. An error if `parse` returns `None`.
    pub fn maybe<T>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, HBaseError> {
        let Some(bytes) = self.bytes(column) else {
            return Ok(None);
        };
        let value = std::str::from_utf8(bytes).ok().and_then(parse);
        value.map(Some).ok_or_else(|| self.damaged(column))
    }

    /// A parsed cell that must be there.
    pub fn need<T>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, HBaseError> {
        self.maybe(column, parse)?
            .ok_or_else(|| self.damaged(column))
    }

    /// Qualifiers and values of all columns that begin with a prefix such as `r:`.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let prefix = prefix.as_bytes();
        let from = self.columns.range(prefix.to_vec()..);
        from.map_while(move |(column, cell)| {
            let qualifier = column.strip_prefix(prefix)?;
            Some((qualifier, cell.value.as_deref().unwrap_or_default()))
        })
    }

    pub fn damaged(&self, column: &str) -> HBaseError {
        HBaseError::damaged(&self.key, column)
    }
}

/// Reads columns of a row, each a `family:qualifier` or a whole family. `None` if the row has none of them.
pub(super) fn get(
    connection: &mut Connection,
    tables: &Tables,
    table: Table,
    row: &[u8],
    columns: &[&str],
) -> Result<Option<Row>, HBaseError> {
    let (name, row) = (tables.bytes(table), row.to_vec());
    let columns = columns.iter().map(|column| column.as_bytes().to_vec());
    let columns = columns.collect();
    let found = connection.call("getRowWithColumns", |client| {
        client.get_row_with_columns(name, row, columns, no_attributes())
    })?;
    Ok(found.into_iter().next().map(Row::from))
}

/// Reads columns of several rows. Rows that have none of them are left out.
pub(super) fn get_all(
    connection: &mut Connection,
    tables: &Tables,
    table: Table,
    rows: &[Vec<u8>],
    columns: &[&str],
) -> Result<Vec<Row>, HBaseError> {
    let (name, rows) = (tables.bytes(table), rows.to_vec());
    let columns = columns.iter().map(|column| column.as_bytes().to_vec());
    let columns = columns.collect();
    let found = connection.call("getRowsWithColumns", |client| {
        client.get_rows_with_columns(name, rows, columns, no_attributes())
    })?;
    Ok(found.into_iter().map(Row::from).collect())
}
