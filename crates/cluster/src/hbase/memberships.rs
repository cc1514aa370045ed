//! The channels of a user: columns `c:<channel>` of the user's row, each with the role and the id of the
//! event that set it.
//!
//! History writes them; the directory reads them together with a login session.

use super::error::HBaseError;
use super::row::Row;
use lakechat_core::domain::{ChannelName, Id, Membership, Role};

/// The family of these columns, which has no others.
pub(super) const FAMILY: &str = "c";

const PREFIX: &str = "c:";

pub(super) fn column(channel: &ChannelName) -> String {
    format!("{PREFIX}{channel}")
}

pub(super) fn encode(role: Role, changed: Id) -> String {
    format!("{} {changed}", role.as_str())
}

/// In the order of the channels' names.
pub(super) fn of_row(row: &Row) -> Result<Vec<Membership>, HBaseError> {
    let cells = row.under(PREFIX);
    let memberships = cells.map(|(channel, value)| {
        decode(channel, value).ok_or_else(|| row.damaged("a column of family c"))
    });
    memberships.collect()
}

fn decode(channel: &[u8], value: &[u8]) -> Option<Membership> {
    let (role, changed) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    Some(Membership {
        channel: ChannelName::parse(std::str::from_utf8(channel).ok()?).ok()?,
        role: Role::parse(role)?,
        changed: changed.parse().ok()?,
    })
}
