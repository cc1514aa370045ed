//! Login sessions: columns `d:s/<uuid>` of the user's row, one JSON cell each.
//!
//! A login removes the user's expired sessions, and the oldest ones above a limit, so that a row does not
//! grow without bound.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::cell::Cell;
use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::put;
use super::super::row::{self, Row};
use super::super::tables::Table;
use lakechat_core::domain::{LoginSession, ReplacedToken, UserName};

const PREFIX: &str = "d:s/";

/// The most sessions of a user; a login above ends the oldest.
const MOST_SESSIONS: usize = 500;

#[derive(Serialize, Deserialize)]
struct Value {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    created_at: u64,
    expires_at: u64,
    refresh_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced: Option<Replaced>,
    revoked: bool,
}

#[derive(Serialize, Deserialize)]
struct Replaced {
    hash: String,
    seed: String,
    at: u64,
}

impl From<&ReplacedToken> for Replaced {
    fn from(token: &ReplacedToken) -> Replaced {
        Replaced {
            hash: token.hash.clone(),
            seed: token.seed.clone(),
            at: token.at_ms,
        }
    }
}

impl From<Replaced> for ReplacedToken {
    fn from(replaced: Replaced) -> ReplacedToken {
        ReplacedToken {
            hash: replaced.hash,
            seed: replaced.seed,
            at_ms: replaced.at,
        }
    }
}

/// The column of a session.
pub(super) fn column(id: Uuid) -> String {
    format!("{PREFIX}{id}")
}

fn cell(user: &UserName, id: Uuid) -> Cell {
    Cell::new(Table::Users, user.as_str(), column(id))
}

/// Session ids are random: one that exists was written by an earlier attempt of this call, and may have been
/// replaced since.
pub(super) async fn create(client: &Client, session: &LoginSession) -> Result<(), HBaseError> {
    let cell = cell(&session.user, session.id);
    if cell.claim(client, encode(session)).await?.is_none() {
        remove_old(client, session).await?;
    }
    Ok(())
}

pub(super) async fn find(
    client: &Client,
    user: &UserName,
    id: Uuid,
) -> Result<Option<LoginSession>, HBaseError> {
    let found = cell(user, id).read(client).await?;
    found.map(|json| decode(user, id, &json)).transpose()
}

/// One call has one list of columns, so each row is asked for the sessions of all users.
pub(super) async fn find_all(
    client: &Client,
    keys: &[(UserName, Uuid)],
) -> Result<Vec<Option<LoginSession>>, HBaseError> {
    let users: BTreeSet<_> = keys.iter().map(|(user, _)| user.as_str()).collect();
    let users: Vec<_> = users.iter().map(|name| name.as_bytes().to_vec()).collect();
    let columns: Vec<_> = keys.iter().map(|(_, id)| column(*id)).collect();
    let read = move |connection: &mut _, tables: &_| {
        let columns: Vec<_> = columns.iter().map(String::as_str).collect();
        row::get_all(connection, tables, Table::Users, &users, &columns)
    };
    let rows = client.read(read).await?.into_iter();
    let rows: BTreeMap<_, _> = rows.map(|row| (row.key.clone(), row)).collect();
    let session = |(user, id): &(UserName, Uuid)| match rows.get(user.as_str().as_bytes()) {
        Some(row) => of_row(row, user, *id),
        None => Ok(None),
    };
    keys.iter().map(session).collect()
}

/// The session in the user's row.
pub(super) fn of_row(
    row: &Row,
    user: &UserName,
    id: Uuid,
) -> Result<Option<LoginSession>, HBaseError> {
    let found = row.bytes(&column(id));
    found.map(|json| decode(user, id, json)).transpose()
}

/// Compares the sessions and not their bytes, which another release may encode differently.
pub(super) async fn replace(
    client: &Client,
    old: &LoginSession,
    new: &LoginSession,
) -> Result<bool, HBaseError> {
    let cell = cell(&old.user, old.id);
    let Some(json) = cell.read(client).await? else {
        return Ok(false);
    };
    match decode(&old.user, old.id, &json)? {
        stored if stored == *new => Ok(true),
        stored if stored == *old => cell.replace(client, json, encode(new)).await,
        _ => Ok(false),
    }
}

pub(super) async fn of_user(
    client: &Client,
    user: &UserName,
) -> Result<Vec<LoginSession>, HBaseError> {
    let user = user.clone();
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
    client.read(read).await
}

/// Removes the sessions that had expired when `made` was created, and the oldest ones above the limit.
async fn remove_old(client: &Client, made: &LoginSession) -> Result<(), HBaseError> {
    let mut sessions = of_user(client, &made.user).await?;
    sessions.sort_by_key(|session| std::cmp::Reverse(session.created_at_ms));
    let is_over = |(at, session): &(usize, LoginSession)| {
        let ended = session.expires_at_ms < made.created_at_ms || *at >= MOST_SESSIONS;
        ended && session.id != made.id
    };
    let gone = sessions.into_iter().enumerate().filter(is_over);
    let columns: Vec<_> = gone
        .map(|(_, session)| column(session.id).into_bytes())
        .collect();
    if columns.is_empty() {
        return Ok(());
    }
    let key = made.user.as_str().as_bytes().to_vec();
    let write = move |connection: &mut _, tables: &_| {
        put::remove(connection, tables, Table::Users, &key, &columns)
    };
    client.write(write).await
}

fn encode(session: &LoginSession) -> Vec<u8> {
    let value = Value {
        address: session.address,
        client: session.client.clone(),
        created_at: session.created_at_ms,
        expires_at: session.expires_at_ms,
        refresh_hash: session.refresh_hash.clone(),
        replaced: session.replaced.as_ref().map(Replaced::from),
        revoked: session.revoked,
    };
    serde_json::to_vec(&value).expect("a session is JSON")
}

fn decode(user: &UserName, id: Uuid, json: &[u8]) -> Result<LoginSession, HBaseError> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|_| HBaseError::damaged(user.as_str().as_bytes(), "a column of d:s/"))?;
    Ok(LoginSession {
        id,
        user: user.clone(),
        refresh_hash: value.refresh_hash,
        replaced: value.replaced.map(ReplacedToken::from),
        address: value.address,
        client: value.client,
        created_at_ms: value.created_at,
        expires_at_ms: value.expires_at,
        revoked: value.revoked,
    })
}
