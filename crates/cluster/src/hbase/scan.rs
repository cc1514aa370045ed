//! Scans: reading rows in the order of their keys.

use hbase_thrift::hbase::{THbaseSyncClient, TScan};

use super::connection::{Connection, no_attributes};
use super::error::HBaseError;
use super::row::Row;
use super::tables::{Table, Tables};

/// The most rows in one answer: with the longest texts, some 16 MiB.
const MOST_ROWS: usize = 1000;

/// A range of a table's rows.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub table: Table,
    /// The first key, inclusive.
    pub from: Vec<u8>,
    /// The last key, exclusive.
    pub to: Vec<u8>,
    /// From larger to smaller keys: then `from` is the larger one.
    pub reversed: bool,
    /// Each a `family:qualifier`; empty for all columns. Rows that have none of them are left out.
    pub columns: &'static [&'static str],
}

impl Scan {
    /// Maps rows with `read`, which returns `None` for a row to leave out, until there are `limit` results.
    /// The worker closes the scanner after the job, also after an error.
    pub fn collect<T>(
        &self,
        connection: &mut Connection,
        tables: &Tables,
        limit: usize,
        mut read: impl FnMut(Row) -> Result<Option<T>, HBaseError>,
    ) -> Result<Vec<T>, HBaseError> {
        let mut results = Vec::new();
        // HBase would read one row for equal bounds.
        if limit == 0 || self.is_empty() {
            return Ok(results);
        }
        let at_once = limit.min(MOST_ROWS) as i32;
        let scanner = self.open(connection, tables, at_once)?;
        connection.finished_scanners.push(scanner);
        loop {
            let rows = connection.call("scannerGetList", |client| {
                client.scanner_get_list(scanner, at_once)
            })?;
            let last = rows.len() < at_once as usize;
            for row in rows {
                results.extend(read(row.into())?);
                if results.len() == limit {
                    return Ok(results);
                }
            }
            if last {
                return Ok(results);
            }
        }
    }

    fn is_empty(&self) -> bool {
        if self.reversed {
            self.from <= self.to
        } else {
            self.from >= self.to
        }
    }

    fn open(
        &self,
        connection: &mut Connection,
        tables: &Tables,
        at_once: i32,
    ) -> Result<i32, HBaseError> {
        let columns = self.columns.iter().map(|column| column.as_bytes().to_vec());
        // Not `TScan::default()`: the server refuses its empty filter.
        let scan = TScan::new(
            self.from.clone(),
            self.to.clone(),
            None,
            columns.collect::<Vec<_>>(),
            at_once,
            None,
            None,
            None,
            self.reversed,
            None,
        );
        let table = tables.bytes(self.table);
        connection.call("scannerOpenWithScan", |client| {
            client.scanner_open_with_scan(table, scan, no_attributes())
        })
    }
}

impl Connection {
    /// Closes the scanners of the last job, whose answer was already given. The server closes those that
    /// can't be closed here after a time-out of its own.
    pub fn close_scanners(&mut self) -> Result<(), HBaseError> {
        std::mem::take(&mut self.finished_scanners)
            .into_iter()
            .try_for_each(|scanner| {
                self.call("scannerClose", |client| client.scanner_close(scanner))
            })
    }
}
