//! The members of a channel, and the channels of a user.

use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::memberships;
use super::super::row::{self, Row};
use super::super::row_key;
use super::super::scan::Scan;
use super::super::tables::Table;
use lakechat_core::domain::{ChannelName, Member, Membership, Role, UserName};

const COLUMNS: &[&str] = &["d:role", "d:joined_at", "d:changed"];

pub(super) async fn of_channel(
    client: &Client,
    channel: &ChannelName,
    after: Option<&UserName>,
    limit: usize,
) -> Result<Vec<Member>, HBaseError> {
    let prefix = row_key::members_prefix(channel);
    let from = match after {
        None => prefix.clone(),
        Some(name) => row_key::next(row_key::under(prefix.clone(), name.as_str())),
    };
    let scan = under(prefix.clone(), from);
    let read = move |connection: &mut _, tables: &_| {
        scan.collect(connection, tables, limit, |row| {
            let user = row_key::rest(&row.key, &prefix);
            let user = user.and_then(|name| UserName::parse(name).ok());
            member(&row, user)
        })
    };
    client.read(read).await
}

pub(super) async fn of_user(
    client: &Client,
    user: &UserName,
) -> Result<Vec<Membership>, HBaseError> {
    let key = user.as_str().as_bytes().to_vec();
    let read = move |connection: &mut _, tables: &_| {
        let row = row::get(
            connection,
            tables,
            Table::Users,
            &key,
            &[memberships::FAMILY],
        )?;
        row.as_ref().map_or(Ok(Vec::new()), memberships::of_row)
    };
    client.read(read).await
}

fn under(prefix: Vec<u8>, from: Vec<u8>) -> Scan {
    Scan {
        table: Table::Members,
        from,
        to: row_key::end_of(prefix),
        reversed: false,
        columns: COLUMNS,
    }
}

fn member(row: &Row, user: Option<UserName>) -> Result<Option<Member>, HBaseError> {
    let Some(role) = row.maybe("d:role", Role::parse)? else {
        return Ok(None);
    };
    Ok(Some(Member {
        user: user.ok_or_else(|| row.damaged("its key"))?,
        role,
        joined_at_ms: row
            .maybe("d:joined_at", |ms| ms.parse().ok())?
            .unwrap_or_default(),
        changed: row.need("d:changed", |id| id.parse().ok())?,
    }))
}
