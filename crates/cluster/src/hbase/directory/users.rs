//! Accounts: one cell decides who has the name.

use serde::{Deserialize, Serialize};

use super::super::cell::Cell;
use super::super::client::Core;
use super::super::error::Fault;
use super::super::tables::Table;
use lakechat_core::domain::{User, UserName};
use lakechat_core::ports::directory::CreateOutcome;

/// `d:v` of a user's row. The hash's random salt tells two tries apart.
#[derive(Serialize, Deserialize)]
struct Value {
    created_at: u64,
    password_hash: String,
}

fn cell(name: &UserName) -> Cell {
    Cell::new(Table::Users, name.as_str(), "d:v")
}

pub(super) async fn create(core: &Core, user: &User) -> Result<CreateOutcome<User>, Fault> {
    let value = Value {
        created_at: user.created_at_ms,
        password_hash: user.password_hash.clone(),
    };
    let value = serde_json::to_vec(&value).expect("a user is JSON");
    let Some(stands) = cell(&user.name).claim(core, value).await? else {
        return Ok(CreateOutcome::Created);
    };
    let stands = decode(&user.name, &stands)?;
    Ok(if stands == *user {
        CreateOutcome::Created
    } else {
        CreateOutcome::Exists(stands)
    })
}

pub(super) async fn find(core: &Core, name: &UserName) -> Result<Option<User>, Fault> {
    let found = cell(name).read(core).await?;
    found.map(|json| decode(name, &json)).transpose()
}

fn decode(name: &UserName, json: &[u8]) -> Result<User, Fault> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|_| Fault::damaged(name.as_str().as_bytes(), "d:v"))?;
    Ok(User {
        name: name.clone(),
        password_hash: value.password_hash,
        created_at_ms: value.created_at,
    })
}
