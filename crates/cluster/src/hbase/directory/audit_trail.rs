//! What admins have done: a row each, under a key that begins with the time.

use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::put::{self, Put};
use super::super::row::Row;
use super::super::scan::Scan;
use super::super::tables::Table;
use lakechat_core::domain::{AuditEntry, AuditId};

/// Above every key: they begin with digits.
const BEHIND_ALL: &[u8] = b":";

/// Its time is the timestamp of all cells, so a retry writes the same ones.
pub(super) async fn append(client: &Client, entry: &AuditEntry) -> Result<(), HBaseError> {
    let put = Put::new(entry.id.as_str().as_bytes().to_vec())
        .cell("d:at", entry.at_ms.to_string())
        .cell("d:by", &*entry.by)
        .cell("d:action", &*entry.action)
        .cell("d:user", &*entry.user)
        .maybe(
            "d:address",
            entry.address.map(|address| address.to_string()),
        );
    let timestamp = i64::try_from(entry.at_ms).expect("times use 63 bits");
    let puts = [put];
    let write = move |connection: &mut _, tables: &_| {
        put::rows(connection, tables, Table::Audit, timestamp, &puts)
    };
    client.write(write).await
}

pub(super) async fn list(
    client: &Client,
    before: Option<&AuditId>,
    limit: usize,
) -> Result<Vec<AuditEntry>, HBaseError> {
    let before = before.cloned();
    let scan = Scan {
        table: Table::Audit,
        // Inclusive, so the entry itself is left out below.
        from: before
            .as_ref()
            .map_or(BEHIND_ALL, |id| id.as_str().as_bytes())
            .to_vec(),
        to: Vec::new(),
        reversed: true,
        columns: &["d"],
    };
    let read = move |connection: &mut _, tables: &_| {
        scan.collect(connection, tables, limit, |row| {
            let entry = decode(&row)?;
            Ok(Some(entry).filter(|entry| Some(&entry.id) != before.as_ref()))
        })
    };
    client.read(read).await
}

fn decode(row: &Row) -> Result<AuditEntry, HBaseError> {
    let id = std::str::from_utf8(&row.key).ok().and_then(AuditId::parse);
    let text = |text: &str| Some(text.to_owned());
    Ok(AuditEntry {
        id: id.ok_or_else(|| row.damaged("its key"))?,
        at_ms: row.need("d:at", |ms| ms.parse().ok())?,
        by: row.need("d:by", text)?,
        action: row.need("d:action", text)?,
        user: row.need("d:user", text)?,
        address: row.maybe("d:address", |address| address.parse().ok())?,
    })
}
