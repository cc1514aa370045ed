//! Login sessions: columns `d:s/<uuid>` of the user's row, one JSON cell each.
//!
//! Who logs in clears away the user's sessions that have expired, and the oldest where there are
//! very many: a row must not grow without end.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::cell::Cell;
use super::super::client::Core;
use super::super::error::Fault;
use super::super::put;
use super::super::row;
use super::super::tables::Table;
use lakechat_core::domain::{LoginSession, UserName};

const PREFIX: &str = "d:s/";

/// Sessions that a user may have; a login beyond ends the oldest.
const MOST_SESSIONS: usize = 500;

#[derive(Serialize, Deserialize)]
struct Value {
    created_at: u64,
    expires_at: u64,
    refresh_hash: String,
    revoked: bool,
}

fn cell(user: &UserName, id: Uuid) -> Cell {
    Cell::new(Table::Users, user.as_str(), format!("{PREFIX}{id}"))
}

/// A session that is there already is its own first try, perhaps replaced since.
pub(super) async fn create(core: &Core, session: &LoginSession) -> Result<(), Fault> {
    let cell = cell(&session.user, session.id);
    if cell.claim(core, encode(session)).await?.is_none() {
        clear(core, session).await?;
    }
    Ok(())
}

pub(super) async fn find(
    core: &Core,
    user: &UserName,
    id: Uuid,
) -> Result<Option<LoginSession>, Fault> {
    let found = cell(user, id).read(core).await?;
    found.map(|json| decode(user, id, &json)).transpose()
}

/// Compares what the sessions say and not their bytes, which another release may write otherwise.
pub(super) async fn replace(
    core: &Core,
    old: &LoginSession,
    new: &LoginSession,
) -> Result<bool, Fault> {
    let cell = cell(&old.user, old.id);
    let Some(json) = cell.read(core).await? else {
        return Ok(false);
    };
    match decode(&old.user, old.id, &json)? {
        stands if stands == *new => Ok(true),
        stands if stands == *old => cell.replace(core, json, encode(new)).await,
        _ => Ok(false),
    }
}

/// Removes the sessions that had expired when `made` was made, and the oldest of too many.
async fn clear(core: &Core, made: &LoginSession) -> Result<(), Fault> {
    let user = made.user.clone();
    let read = move |connection: &mut _, tables: &_| {
        let key = user.as_str().as_bytes();
        let Some(row) = row::get(connection, tables, Table::Users, key, &["d"])? else {
            return Ok(Vec::new());
        };
        let sessions = row.under(PREFIX).map(|(id, json)| {
            let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
            decode(&user, id.ok_or_else(|| row.damaged(PREFIX))?, json)
        });
        sessions.collect()
    };
    let mut sessions: Vec<LoginSession> = core.read(read).await?;
    sessions.sort_by_key(|session| std::cmp::Reverse(session.created_at_ms));
    let over = |(at, session): &(usize, LoginSession)| {
        let ended = session.expires_at_ms < made.created_at_ms || *at >= MOST_SESSIONS;
        ended && session.id != made.id
    };
    let gone = sessions.into_iter().enumerate().filter(over);
    let gone: Vec<_> = gone
        .map(|(_, session)| format!("{PREFIX}{}", session.id).into_bytes())
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    let key = made.user.as_str().as_bytes().to_vec();
    let write = move |connection: &mut _, tables: &_| {
        put::remove(connection, tables, Table::Users, &key, &gone)
    };
    core.write(write).await
}

fn encode(session: &LoginSession) -> Vec<u8> {
    let value = Value {
        created_at: session.created_at_ms,
        expires_at: session.expires_at_ms,
        refresh_hash: session.refresh_hash.clone(),
        revoked: session.revoked,
    };
    serde_json::to_vec(&value).expect("a session is JSON")
}

fn decode(user: &UserName, id: Uuid, json: &[u8]) -> Result<LoginSession, Fault> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|_| Fault::damaged(user.as_str().as_bytes(), "a column of d:s/"))?;
    Ok(LoginSession {
        id,
        user: user.clone(),
        refresh_hash: value.refresh_hash,
        created_at_ms: value.created_at,
        expires_at_ms: value.expires_at,
        revoked: value.revoked,
    })
}
