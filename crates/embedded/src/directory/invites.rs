//! Invites.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use uuid::Uuid;

use crate::columns::{ReadColumn, int, invalid_value, limit as rows};
use lakechat_core::domain::Invite;

/// Stores an invite. An existing row comes from an earlier try of this call and may have been used since.
pub(super) fn create(db: &Connection, invite: &Invite) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO invites (id, hash, uses_left, expires_at, created_at, created_by, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
    )?;
    insert.execute(params![
        invite.id.to_string(),
        invite.hash,
        invite.uses_left,
        int(invite.expires_at_ms),
        int(invite.created_at_ms),
        invite.created_by.as_str(),
        invite.revision.to_string(),
    ])?;
    Ok(())
}

pub(super) fn find(db: &Connection, id: Uuid) -> Result<Option<Invite>> {
    let mut select = db.prepare_cached(
        "SELECT id, hash, uses_left, expires_at, created_at, created_by, revision FROM invites
         WHERE id = ?1",
    )?;
    select.query_row([id.to_string()], invite).optional()
}

pub(super) fn list(db: &Connection, after: Option<Uuid>, limit: usize) -> Result<Vec<Invite>> {
    let mut select = db.prepare_cached(
        "SELECT id, hash, uses_left, expires_at, created_at, created_by, revision FROM invites
         WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let after = after.map_or(String::new(), |id| id.to_string());
    let invites = select.query_map(params![after, rows(limit)], invite)?;
    invites.collect()
}

/// Replaces `old` by `new` and returns true, unless the row is neither. If it is `new` already, an
/// earlier try of this call replaced it.
pub(super) fn replace(db: &Connection, old: &Invite, new: &Invite) -> Result<bool> {
    let stands = find(db, old.id)?;
    if stands.as_ref() == Some(new) {
        return Ok(true);
    }
    if stands.as_ref() != Some(old) {
        return Ok(false);
    }
    let mut update = db.prepare_cached(
        "UPDATE invites SET hash = ?2, uses_left = ?3, expires_at = ?4, created_at = ?5,
             created_by = ?6, revision = ?7
         WHERE id = ?1",
    )?;
    update.execute(params![
        new.id.to_string(),
        new.hash,
        new.uses_left,
        int(new.expires_at_ms),
        int(new.created_at_ms),
        new.created_by.as_str(),
        new.revision.to_string(),
    ])?;
    Ok(true)
}

fn invite(row: &Row<'_>) -> Result<Invite> {
    let uuid = |index| {
        let id = row.text(index)?.parse();
        id.map_err(|_| invalid_value(index, "UUID"))
    };
    Ok(Invite {
        id: uuid(0)?,
        hash: row.get(1)?,
        uses_left: row.get(2)?,
        expires_at_ms: row.number(3)?,
        created_at_ms: row.number(4)?,
        created_by: row.user(5)?,
        revision: uuid(6)?,
    })
}
