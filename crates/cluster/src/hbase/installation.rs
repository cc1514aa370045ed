//! The id of the installation that the tables are: cell `d:installation` of row `log`. It is written once,
//! and apart from the rest of the row, so that no adoption of a log rewrites it.

use uuid::Uuid;

use super::cell::Cell;
use super::client::Client;
use super::error::HBaseError;
use super::row_key::LOG;
use super::tables::Table;
use crate::owner::Installation;

const COLUMN: &str = "d:installation";

fn cell() -> Cell {
    Cell::new(Table::Meta, LOG, COLUMN)
}

pub(super) async fn read(client: &Client) -> Result<Option<Installation>, HBaseError> {
    let stored = cell().read(client).await?;
    stored.map(|id| decode(client, &id)).transpose()
}

/// Gives the tables an id unless they have one.
pub(super) async fn create(client: &Client) -> Result<Installation, HBaseError> {
    let id = Uuid::new_v4().to_string().into_bytes();
    let stored = cell().claim(client, id.clone()).await?;
    decode(client, &stored.unwrap_or(id))
}

fn decode(client: &Client, id: &[u8]) -> Result<Installation, HBaseError> {
    let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
    Ok(Installation {
        id: id.ok_or_else(|| HBaseError::damaged(LOG.as_bytes(), COLUMN))?,
        meta_table: client.tables.name(Table::Meta),
    })
}
