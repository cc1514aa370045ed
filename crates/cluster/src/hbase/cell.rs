//! One cell that is decided by who comes first: HBase's `checkAndPut`, which takes one mutation.

use hbase_thrift::hbase::THbaseSyncClient;

use super::client::Core;
use super::connection::{Connection, plain};
use super::error::Fault;
use super::put;
use super::row;
use super::tables::{Table, Tables};

/// Where it stands.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub table: Table,
    pub row: Vec<u8>,
    pub column: String,
}

impl Cell {
    pub fn new(table: Table, row: &str, column: impl Into<String>) -> Cell {
        Cell {
            table,
            row: row.as_bytes().to_vec(),
            column: column.into(),
        }
    }

    pub async fn read(&self, core: &Core) -> Result<Option<Vec<u8>>, Fault> {
        let cell = self.clone();
        let read = move |connection: &mut _, tables: &_| {
            let columns = [cell.column.as_str()];
            let found = row::get(connection, tables, cell.table, &cell.row, &columns)?;
            Ok(found.and_then(|mut row| row.take(&cell.column)))
        };
        core.read(read).await
    }

    /// Puts a value where there is none. Answers None if it is there by this call, otherwise what
    /// was there before.
    pub async fn claim(&self, core: &Core, value: Vec<u8>) -> Result<Option<Vec<u8>>, Fault> {
        // To HBase an empty expected value is an absent cell.
        let tried = match self.check_and_put(core, Vec::new(), value.clone()).await {
            Ok(true) => return Ok(None),
            Ok(false) => Fault::Away("a row was there and is gone".to_owned()),
            Err(fault) if fault.is_open() => fault,
            Err(fault) => return Err(fault),
        };
        match self.read(core).await? {
            Some(stands) if stands == value => Ok(None),
            Some(stands) => Ok(Some(stands)),
            None => Err(tried),
        }
    }

    /// Replaces a value if it still is `old`, to the byte; tells whether it was.
    pub async fn replace(&self, core: &Core, old: Vec<u8>, new: Vec<u8>) -> Result<bool, Fault> {
        match self.check_and_put(core, old, new.clone()).await {
            Ok(true) => Ok(true),
            Ok(false) => Ok(self.read(core).await?.as_ref() == Some(&new)),
            Err(fault) if fault.is_open() => match self.read(core).await? {
                Some(stands) if stands == new => Ok(true),
                _ => Err(fault),
            },
            Err(fault) => Err(fault),
        }
    }

    async fn check_and_put(
        &self,
        core: &Core,
        expected: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<bool, Fault> {
        let cell = self.clone();
        let write = move |connection: &mut Connection, tables: &Tables| {
            let (table, row) = (tables.bytes(cell.table), cell.row.clone());
            let column = cell.column.clone().into_bytes();
            let mutation = put::mutation(column.clone(), value.clone());
            let expected = expected.clone();
            connection.call("checkAndPut", |client| {
                client.check_and_put(table, row, column, expected, mutation, plain())
            })
        };
        core.write(write).await
    }
}
