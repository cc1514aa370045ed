//! What admins have done.

use rusqlite::{Connection, Result, Row, params};

use crate::columns::{ReadColumn, int, invalid_value, limit as rows};
use lakechat_core::domain::{AuditEntry, AuditId};

/// Stores an entry. An existing row comes from an earlier try of this call.
pub(super) fn append(db: &Connection, entry: &AuditEntry) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO audit (id, at, by, action, user, address) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO NOTHING",
    )?;
    insert.execute(params![
        entry.id.as_str(),
        int(entry.at_ms),
        entry.by,
        entry.action,
        entry.user,
        entry.address.map(|address| address.to_string()),
    ])?;
    Ok(())
}

pub(super) fn list(
    db: &Connection,
    before: Option<&AuditId>,
    limit: usize,
) -> Result<Vec<AuditEntry>> {
    let mut select = db.prepare_cached(
        "SELECT id, at, by, action, user, address FROM audit
         WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let before = before.map(AuditId::as_str);
    let entries = select.query_map(params![before, rows(limit)], entry)?;
    entries.collect()
}

fn entry(row: &Row<'_>) -> Result<AuditEntry> {
    let address = match row.get::<_, Option<String>>(5)? {
        Some(text) => Some(text.parse().map_err(|_| invalid_value(5, "address"))?),
        None => None,
    };
    Ok(AuditEntry {
        id: AuditId::parse(row.text(0)?).ok_or_else(|| invalid_value(0, "id of an entry"))?,
        at_ms: row.number(1)?,
        by: row.get(2)?,
        action: row.get(3)?,
        user: row.get(4)?,
        address,
    })
}
