//! Lists of rows with one JSON cell each, `d:v`, by key.

use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::row_key;
use super::super::scan::Scan;
use super::super::tables::Table;

/// Up to `limit` values of a table whose keys are text, from the first one behind the key `after`.
///
/// `decode` gets key and cell, and returns `None` for a key that can't be one of this table.
pub(super) async fn list<T: Send + 'static>(
    client: &Client,
    table: Table,
    after: Option<String>,
    limit: usize,
    decode: impl Fn(&str, &[u8]) -> Option<Result<T, HBaseError>> + Send + 'static,
) -> Result<Vec<T>, HBaseError> {
    let after = after.map(|key| row_key::next(key.into_bytes()));
    let scan = Scan {
        table,
        from: after.unwrap_or_default(),
        to: vec![0xff],
        reversed: false,
        columns: &["d:v"],
    };
    let read = move |connection: &mut _, tables: &_| {
        scan.collect(connection, tables, limit, |row| {
            let key = std::str::from_utf8(&row.key).ok();
            let json = row.bytes("d:v").unwrap_or_default();
            let value = key.and_then(|key| decode(key, json));
            value
                .unwrap_or_else(|| Err(row.damaged("its key")))
                .map(Some)
        })
    };
    client.read(read).await
}
