//! Channels: kind, creator and time of creation. The history writes topic and archival into the same
//! rows.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::columns::{ReadColumn, int, invalid_value, limit as rows};
use lakechat_core::domain::{Channel, ChannelKind, ChannelName};
use lakechat_core::ports::directory::CreateOutcome;

pub(super) fn create(db: &Connection, channel: &Channel) -> Result<CreateOutcome<Channel>> {
    let made = Channel {
        topic: None,
        archived: None,
        ..channel.clone()
    };
    match find(db, &made.name)? {
        Some(taken) if taken == made => return Ok(CreateOutcome::Created),
        Some(taken) => return Ok(CreateOutcome::Exists(taken)),
        None => {}
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO channels (name, kind, creator, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE
         SET kind = excluded.kind, creator = excluded.creator, created_at = excluded.created_at",
    )?;
    insert.execute(params![
        made.name.as_str(),
        made.kind.as_str(),
        made.creator.as_ref().map(|user| user.as_str()),
        int(made.created_at_ms),
    ])?;
    Ok(CreateOutcome::Created)
}

pub(super) fn find(db: &Connection, name: &ChannelName) -> Result<Option<Channel>> {
    let mut select = db.prepare_cached(
        "SELECT name, kind, creator, created_at FROM channels
         WHERE name = ?1 AND kind IS NOT NULL",
    )?;
    select.query_row([name.as_str()], channel).optional()
}

pub(super) fn public(
    db: &Connection,
    after: Option<&ChannelName>,
    limit: usize,
) -> Result<Vec<Channel>> {
    let mut select = db.prepare_cached(
        "SELECT name, kind, creator, created_at FROM channels
         WHERE kind = 'public' AND name > ?1 ORDER BY name LIMIT ?2",
    )?;
    let after = after.map_or("", |name| name.as_str());
    select
        .query_map(params![after, rows(limit)], channel)?
        .collect()
}

fn channel(row: &Row<'_>) -> Result<Channel> {
    Ok(Channel {
        name: row.channel(0)?,
        kind: match row.text(1)? {
            "public" => ChannelKind::Public,
            "private" => ChannelKind::Private,
            "direct" => ChannelKind::Direct,
            _ => return Err(invalid_value(1, "kind of channel")),
        },
        creator: match row.get_ref(2)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(row.user(2)?),
        },
        created_at_ms: row.number(3)?,
        topic: None,
        archived: None,
    })
}
