//! A cell that the first writer gets: HBase's `checkAndPut`, which takes one mutation.

use hbase_thrift::hbase::THbaseSyncClient;

use super::client::Client;
use super::connection::{Connection, no_attributes};
use super::error::HBaseError;
use super::put;
use super::row;
use super::tables::{Table, Tables};

/// The address of a cell.
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

    pub async fn read(&self, client: &Client) -> Result<Option<Vec<u8>>, HBaseError> {
        let cell = self.clone();
        let read = move |connection: &mut _, tables: &_| {
            let columns = [cell.column.as_str()];
            let found = row::get(connection, tables, cell.table, &cell.row, &columns)?;
            Ok(found.and_then(|mut row| row.take(&cell.column)))
        };
        client.read(read).await
    }

    /// Writes a value if the cell is absent. `None` if this call or an earlier attempt of it wrote the
    /// value; otherwise the value that is there.
    pub async fn claim(
        &self,
        client: &Client,
        value: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, HBaseError> {
        // To HBase, an empty expected value means an absent cell.
        let uncertain = match self.check_and_put(client, Vec::new(), value.clone()).await {
            Ok(true) => return Ok(None),
            Ok(false) => {
                HBaseError::Unavailable("a cell existed and was removed meanwhile".to_owned())
            }
            Err(error) if error.may_have_happened() => error,
            Err(error) => return Err(error),
        };
        // Values hold a nonce or a salt: an equal one was written by this call, whose answer got lost.
        match self.read(client).await? {
            Some(stored) if stored == value => Ok(None),
            Some(stored) => Ok(Some(stored)),
            None => Err(uncertain),
        }
    }

    /// Replaces a value if its bytes are still `old`; `true` if this call or an earlier attempt of it did.
    pub async fn replace(
        &self,
        client: &Client,
        old: Vec<u8>,
        new: Vec<u8>,
    ) -> Result<bool, HBaseError> {
        match self.check_and_put(client, old, new.clone()).await {
            Ok(true) => Ok(true),
            Ok(false) => Ok(self.read(client).await?.as_ref() == Some(&new)),
            Err(error) if error.may_have_happened() => match self.read(client).await? {
                Some(stored) if stored == new => Ok(true),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Replaces what the cell holds if that is still `old`; `true` if this call or an earlier attempt of
    /// it did. Compares the decoded values, since another release may encode them differently.
    pub async fn replace_decoded<T: PartialEq>(
        &self,
        client: &Client,
        old: &T,
        new: &T,
        encode: impl Fn(&T) -> Vec<u8>,
        decode: impl Fn(&[u8]) -> Result<T, HBaseError>,
    ) -> Result<bool, HBaseError> {
        let Some(bytes) = self.read(client).await? else {
            return Ok(false);
        };
        match decode(&bytes)? {
            stored if stored == *new => Ok(true),
            stored if stored == *old => self.replace(client, bytes, encode(new)).await,
            _ => Ok(false),
        }
    }

    async fn check_and_put(
        &self,
        client: &Client,
        expected: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<bool, HBaseError> {
        let cell = self.clone();
        let write = move |connection: &mut Connection, tables: &Tables| {
            let (table, row) = (tables.bytes(cell.table), cell.row.clone());
            let column = cell.column.clone().into_bytes();
            let mutation = put::mutation(column.clone(), value.clone());
            let expected = expected.clone();
            connection.call("checkAndPut", |client| {
                client.check_and_put(table, row, column, expected, mutation, no_attributes())
            })
        };
        client.write(write).await
    }
}
