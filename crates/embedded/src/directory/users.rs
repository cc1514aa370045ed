//! Users and their login sessions.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use uuid::Uuid;

use crate::columns::{ReadColumn, int, invalid_value, limit as rows};
use lakechat_core::domain::{LoginSession, ReplacedToken, User, UserName};
use lakechat_core::ports::directory::CreateOutcome;

pub(super) fn create(db: &Connection, user: &User) -> Result<CreateOutcome<User>> {
    match find(db, &user.name)? {
        Some(taken) if taken == *user => return Ok(CreateOutcome::Created),
        Some(taken) => return Ok(CreateOutcome::Exists(taken)),
        None => {}
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO users (name, password_hash, created_at, admin, disabled)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        user.name.as_str(),
        user.password_hash,
        int(user.created_at_ms),
        user.is_admin,
        user.is_disabled,
    ])?;
    Ok(CreateOutcome::Created)
}

pub(super) fn find(db: &Connection, name: &UserName) -> Result<Option<User>> {
    let mut select = db.prepare_cached(
        "SELECT name, password_hash, created_at, admin, disabled FROM users WHERE name = ?1",
    )?;
    select.query_row([name.as_str()], read_user).optional()
}

/// Replaces `old` by `new` and returns true, unless the row is neither. If it is `new` already, an
/// earlier try of this call replaced it.
pub(super) fn replace(db: &Connection, old: &User, new: &User) -> Result<bool> {
    let stands = find(db, &old.name)?;
    if stands.as_ref() == Some(new) {
        return Ok(true);
    }
    if stands.as_ref() != Some(old) {
        return Ok(false);
    }
    let mut update = db.prepare_cached(
        "UPDATE users SET password_hash = ?2, created_at = ?3, admin = ?4, disabled = ?5
         WHERE name = ?1",
    )?;
    update.execute(params![
        new.name.as_str(),
        new.password_hash,
        int(new.created_at_ms),
        new.is_admin,
        new.is_disabled,
    ])?;
    Ok(true)
}

pub(super) fn list(db: &Connection, after: Option<&UserName>, limit: usize) -> Result<Vec<User>> {
    let mut select = db.prepare_cached(
        "SELECT name, password_hash, created_at, admin, disabled FROM users
         WHERE name > ?1 ORDER BY name LIMIT ?2",
    )?;
    let after = after.map_or("", |name| name.as_str());
    let users = select.query_map(params![after, rows(limit)], read_user)?;
    users.collect()
}

fn read_user(row: &Row<'_>) -> Result<User> {
    // NULL in rows of earlier releases.
    let flag = |index| {
        row.get::<_, Option<bool>>(index)
            .map(Option::unwrap_or_default)
    };
    Ok(User {
        name: row.user(0)?,
        password_hash: row.get(1)?,
        created_at_ms: row.number(2)?,
        is_admin: flag(3)?,
        is_disabled: flag(4)?,
    })
}

/// Stores a session. An existing row comes from an earlier try of this call and may have been replaced
/// since, so it is kept.
pub(super) fn create_session(db: &Connection, session: &LoginSession) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO sessions (user, id, refresh_hash, created_at, expires_at, revoked,
             replaced_hash, replaced_seed, replaced_at, address, client)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (user, id) DO NOTHING",
    )?;
    let replaced = session.replaced.as_ref();
    insert.execute(params![
        session.user.as_str(),
        session.id.to_string(),
        session.refresh_hash,
        int(session.created_at_ms),
        int(session.expires_at_ms),
        session.revoked,
        replaced.map(|token| &token.hash),
        replaced.map(|token| &token.seed),
        replaced.map(|token| int(token.at_ms)),
        session.address.map(|address| address.to_string()),
        session.client,
    ])?;
    Ok(())
}

pub(super) fn session(db: &Connection, user: &UserName, id: Uuid) -> Result<Option<LoginSession>> {
    let mut select = db.prepare_cached(
        "SELECT id, refresh_hash, created_at, expires_at, revoked,
             replaced_hash, replaced_seed, replaced_at, address, client
         FROM sessions WHERE user = ?1 AND id = ?2",
    )?;
    let key = params![user.as_str(), id.to_string()];
    select
        .query_row(key, |row| read_session(user, row))
        .optional()
}

pub(super) fn sessions_of(db: &Connection, user: &UserName) -> Result<Vec<LoginSession>> {
    let mut select = db.prepare_cached(
        "SELECT id, refresh_hash, created_at, expires_at, revoked,
             replaced_hash, replaced_seed, replaced_at, address, client
         FROM sessions WHERE user = ?1",
    )?;
    let sessions = select.query_map([user.as_str()], |row| read_session(user, row))?;
    sessions.collect()
}

fn read_session(user: &UserName, row: &Row<'_>) -> Result<LoginSession> {
    let id = row.text(0)?.parse();
    let address = match row.get::<_, Option<String>>(8)? {
        Some(text) => Some(text.parse().map_err(|_| invalid_value(8, "address"))?),
        None => None,
    };
    Ok(LoginSession {
        id: id.map_err(|_| invalid_value(0, "session id"))?,
        user: user.clone(),
        refresh_hash: row.get(1)?,
        created_at_ms: row.number(2)?,
        expires_at_ms: row.number(3)?,
        revoked: row.get(4)?,
        replaced: read_replaced_token(row)?,
        address,
        client: row.get(9)?,
    })
}

fn read_replaced_token(row: &Row<'_>) -> Result<Option<ReplacedToken>> {
    let Some(hash) = row.get(5)? else {
        return Ok(None);
    };
    Ok(Some(ReplacedToken {
        hash,
        seed: row.get(6)?,
        at_ms: row.number(7)?,
    }))
}

/// Replaces `old` by `new` and returns true, unless the row is neither. If it is `new` already, an
/// earlier try of this call replaced it.
pub(super) fn replace_session(
    db: &Connection,
    old: &LoginSession,
    new: &LoginSession,
) -> Result<bool> {
    let stands = session(db, &old.user, old.id)?;
    if stands.as_ref() == Some(new) {
        return Ok(true);
    }
    if stands.as_ref() != Some(old) {
        return Ok(false);
    }
    let mut update = db.prepare_cached(
        "UPDATE sessions
         SET refresh_hash = ?3, created_at = ?4, expires_at = ?5, revoked = ?6,
             replaced_hash = ?7, replaced_seed = ?8, replaced_at = ?9, address = ?10,
             client = ?11
         WHERE user = ?1 AND id = ?2",
    )?;
    let replaced = new.replaced.as_ref();
    update.execute(params![
        old.user.as_str(),
        old.id.to_string(),
        new.refresh_hash,
        int(new.created_at_ms),
        int(new.expires_at_ms),
        new.revoked,
        replaced.map(|token| &token.hash),
        replaced.map(|token| &token.seed),
        replaced.map(|token| int(token.at_ms)),
        new.address.map(|address| address.to_string()),
        new.client,
    ])?;
    Ok(true)
}
