//! Invites: a row each, with one JSON cell.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::cell::Cell;
use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::tables::Table;
use super::values;
use lakechat_core::domain::{Invite, UserName};

/// `d:v` of an invite's row.
#[derive(Serialize, Deserialize)]
struct Value {
    hash: String,
    uses_left: u32,
    expires_at: u64,
    created_at: u64,
    created_by: UserName,
    revision: Uuid,
}

fn cell(id: Uuid) -> Cell {
    Cell::new(Table::Invites, &id.to_string(), "d:v")
}

/// Ids are random: one that exists was written by an earlier attempt of this call.
pub(super) async fn create(client: &Client, invite: &Invite) -> Result<(), HBaseError> {
    let claimed = cell(invite.id).claim(client, encode(invite)).await;
    claimed.map(drop)
}

pub(super) async fn find(client: &Client, id: Uuid) -> Result<Option<Invite>, HBaseError> {
    let found = cell(id).read(client).await?;
    found.map(|json| decode(id, &json)).transpose()
}

pub(super) async fn list(
    client: &Client,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Invite>, HBaseError> {
    let after = after.map(|id| id.to_string());
    values::list(client, Table::Invites, after, limit, |id, json| {
        let id = id.parse().ok()?;
        Some(decode(id, json))
    })
    .await
}

pub(super) async fn replace(
    client: &Client,
    old: &Invite,
    new: &Invite,
) -> Result<bool, HBaseError> {
    let decode = |json: &[u8]| decode(old.id, json);
    cell(old.id)
        .replace_decoded(client, old, new, encode, decode)
        .await
}

fn encode(invite: &Invite) -> Vec<u8> {
    let value = Value {
        hash: invite.hash.clone(),
        uses_left: invite.uses_left,
        expires_at: invite.expires_at_ms,
        created_at: invite.created_at_ms,
        created_by: invite.created_by.clone(),
        revision: invite.revision,
    };
    serde_json::to_vec(&value).expect("an invite is JSON")
}

fn decode(id: Uuid, json: &[u8]) -> Result<Invite, HBaseError> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|_| HBaseError::damaged(id.to_string().as_bytes(), "d:v"))?;
    Ok(Invite {
        id,
        hash: value.hash,
        uses_left: value.uses_left,
        expires_at_ms: value.expires_at,
        created_at_ms: value.created_at,
        created_by: value.created_by,
        revision: value.revision,
    })
}
