//! Reading rows in the order of their keys.

use hbase_thrift::hbase::{THbaseSyncClient, TScan};

use super::connection::{Connection, plain};
use super::error::Fault;
use super::row::Row;
use super::tables::{Table, Tables};

/// Rows that come in one answer at most: with the longest texts some 16 MiB.
const MOST_ROWS: usize = 1000;

/// A stretch of a table's rows.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub table: Table,
    /// The key to begin at, included.
    pub from: Vec<u8>,
    /// The key to end before.
    pub to: Vec<u8>,
    /// From larger to smaller keys; `from` is the larger one then.
    pub reversed: bool,
    /// `family:qualifier`; all that there are when empty. Rows that have none of them don't come.
    pub columns: &'static [&'static str],
}

impl Scan {
    /// Reads rows, each as what `read` makes of it, until there are `limit` of those that it
    /// makes something of. The scanner is closed when the job is done, on an error too.
    pub fn collect<T>(
        &self,
        connection: &mut Connection,
        tables: &Tables,
        limit: usize,
        mut read: impl FnMut(Row) -> Result<Option<T>, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut found = Vec::new();
        // HBase takes equal bounds for one row.
        if limit == 0 || self.is_empty() {
            return Ok(found);
        }
        let at_once = limit.min(MOST_ROWS) as i32;
        let scanner = self.open(connection, tables, at_once)?;
        connection.done_scanners.push(scanner);
        loop {
            let rows = connection.call("scannerGetList", |client| {
                client.scanner_get_list(scanner, at_once)
            })?;
            let last = rows.len() < at_once as usize;
            for row in rows {
                found.extend(read(row.into())?);
                if found.len() == limit {
                    return Ok(found);
                }
            }
            if last {
                return Ok(found);
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
    ) -> Result<i32, Fault> {
        let columns = self.columns.iter().map(|column| column.as_bytes().to_vec());
        // Not its default, whose empty filter the server refuses.
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
            client.scanner_open_with_scan(table, scan, plain())
        })
    }
}

impl Connection {
    /// Closes the scanners that the last job opened; whoever asked has the answer already. One that
    /// can't be closed goes with the server's own time-out.
    pub fn close_scanners(&mut self) -> Result<(), Fault> {
        std::mem::take(&mut self.done_scanners)
            .into_iter()
            .try_for_each(|scanner| {
                self.call("scannerClose", |client| client.scanner_close(scanner))
            })
    }
}
