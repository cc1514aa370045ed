//! Users: the first writer of a cell gets the name.

use serde::{Deserialize, Serialize};

use super::super::cell::Cell;
use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::tables::Table;
use super::values;
use lakechat_core::domain::{User, UserName};
use lakechat_core::ports::directory::CreateOutcome;

/// `d:v` of a user's row. The random salt of the hash distinguishes two requests for the same name.
#[derive(Serialize, Deserialize)]
struct Value {
    created_at: u64,
    password_hash: String,
    #[serde(default, skip_serializing_if = "is_false")]
    admin: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    disabled: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn cell(name: &UserName) -> Cell {
    Cell::new(Table::Users, name.as_str(), "d:v")
}

pub(super) async fn create(
    client: &Client,
    user: &User,
) -> Result<CreateOutcome<User>, HBaseError> {
    let cell = cell(&user.name);
    let Some(stored) = cell.claim(client, encode(user)).await? else {
        return Ok(CreateOutcome::Created);
    };
    let stored = decode(&user.name, &stored)?;
    Ok(if stored == *user {
        CreateOutcome::Created
    } else {
        CreateOutcome::Exists(stored)
    })
}

pub(super) async fn find(client: &Client, name: &UserName) -> Result<Option<User>, HBaseError> {
    let found = cell(name).read(client).await?;
    found.map(|json| decode(name, &json)).transpose()
}

pub(super) async fn list(
    client: &Client,
    after: Option<&UserName>,
    limit: usize,
) -> Result<Vec<User>, HBaseError> {
    let after = after.map(|name| name.as_str().to_owned());
    values::list(client, Table::Users, after, limit, |name, json| {
        let name = UserName::parse(name).ok()?;
        Some(decode(&name, json))
    })
    .await
}

pub(super) async fn replace(client: &Client, old: &User, new: &User) -> Result<bool, HBaseError> {
    let decode = |json: &[u8]| decode(&old.name, json);
    cell(&old.name)
        .replace_decoded(client, old, new, encode, decode)
        .await
}

fn encode(user: &User) -> Vec<u8> {
    let value = Value {
        created_at: user.created_at_ms,
        password_hash: user.password_hash.clone(),
        admin: user.is_admin,
        disabled: user.is_disabled,
    };
    serde_json::to_vec(&value).expect("a user is JSON")
}

fn decode(name: &UserName, json: &[u8]) -> Result<User, HBaseError> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|_| HBaseError::damaged(name.as_str().as_bytes(), "d:v"))?;
    Ok(User {
        name: name.clone(),
        password_hash: value.password_hash,
        created_at_ms: value.created_at,
        is_admin: value.admin,
        is_disabled: value.disabled,
    })
}
