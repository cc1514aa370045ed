//! Reads the rows of the history.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::columns::{ReadColumn, id, invalid_value, limit as rows};
use lakechat_core::domain::{
    Attachment, Change, ChangeKind, ChannelName, Id, Member, Membership, Message, Role, UserName,
};
use lakechat_core::ports::history::{ChannelRows, MessageRange};

/// Topic and archival of a channel.
#[derive(Default)]
pub(super) struct Description {
    pub topic: Option<(String, Id)>,
    pub archived: Option<Id>,
}

/// A statement over the columns that [`message`] reads.
macro_rules! select_messages {
    ($order:literal) => {
        concat!(
            "SELECT id, sender, text, client_msg_id, n, reply_to, file_id, file_name, file_size,
                 file_type, edited_at, deleted_at, changed
             FROM messages
             WHERE channel = ?1 AND id > ?2 AND id < ?3 AND sender IS NOT NULL
             ORDER BY id ",
            $order,
            " LIMIT ?4"
        )
    };
}

pub(super) fn messages(
    db: &Connection,
    channel: &ChannelName,
    range: MessageRange,
    limit: usize,
) -> Result<Vec<Message>> {
    let (sql, after, before) = match range {
        MessageRange::Newest { after, before } => (select_messages!("DESC"), after, before),
        MessageRange::Oldest { after, before } => (select_messages!("ASC"), after, before),
    };
    let mut select = db.prepare_cached(sql)?;
    let bounds = params![channel.as_str(), id(after), id(before), rows(limit)];
    let mut found = select
        .query_map(bounds, message)?
        .collect::<Result<Vec<_>>>()?;
    if let MessageRange::Newest { .. } = range {
        found.reverse();
    }
    add_reactions(db, channel, &mut found)?;
    Ok(found)
}

fn message(row: &Row<'_>) -> Result<Message> {
    Ok(Message {
        id: row.id(0)?,
        sender: row.user(1)?,
        text: row.get(2)?,
        client_msg_id: row.client_msg_id(3)?,
        n: row.number(4)?,
        reply_to: row.optional_id(5)?,
        file: match row.get_ref(6)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(Attachment {
                id: row.file_id(6)?,
                name: row.get(7)?,
                size: row.number(8)?,
                media_type: row.get(9)?,
            }),
        },
        edited_at_ms: row.optional_number(10)?,
        deleted_at_ms: row.optional_number(11)?,
        changed: row.optional_id(12)?,
        reactions: Default::default(),
    })
}

/// Adds the reactions. Only a changed message can have any, so most pages need no second query.
fn add_reactions(db: &Connection, channel: &ChannelName, found: &mut [Message]) -> Result<()> {
    let mut select = db.prepare_cached(
        r#"SELECT emoji, user FROM reactions WHERE channel = ?1 AND id = ?2 AND "on" = 1"#,
    )?;
    for message in found.iter_mut().filter(|m| m.changed.is_some()) {
        let mut reactions = select.query(params![channel.as_str(), id(message.id)])?;
        while let Some(row) = reactions.next()? {
            let who = message.reactions.entry(row.get(0)?).or_default();
            who.push(row.user(1)?);
        }
    }
    Ok(())
}

pub(super) fn changes(
    db: &Connection,
    channel: &ChannelName,
    after: Id,
    before: Id,
    limit: usize,
) -> Result<Vec<Change>> {
    let mut select = db.prepare_cached(
        r#"SELECT id, target, user, kind, emoji, "on" FROM changes
           WHERE channel = ?1 AND id > ?2 AND id < ?3 ORDER BY id LIMIT ?4"#,
    )?;
    let bounds = params![channel.as_str(), id(after), id(before), rows(limit)];
    select.query_map(bounds, change)?.collect()
}

fn change(row: &Row<'_>) -> Result<Change> {
    Ok(Change {
        id: row.id(0)?,
        target: row.id(1)?,
        user: row.user(2)?,
        kind: match row.text(3)? {
            "edit" => ChangeKind::Edit {
                text: String::new(),
            },
            "delete" => ChangeKind::Delete,
            "react" => ChangeKind::React {
                emoji: row.get(4)?,
                on: row.get(5)?,
            },
            _ => return Err(invalid_value(3, "kind of change")),
        },
    })
}

pub(super) fn channels_with_rows(
    db: &Connection,
    after: Option<&ChannelName>,
    limit: usize,
) -> Result<Vec<ChannelRows>> {
    // Each channel is found by one step in the primary key, however many rows it has.
    let mut select = db.prepare_cached(
        "SELECT channel, private FROM messages
         WHERE channel > ?1 AND sender IS NOT NULL ORDER BY channel LIMIT 1",
    )?;
    let next = |row: &Row<'_>| {
        Ok(ChannelRows {
            channel: row.channel(0)?,
            private: row.get(1)?,
        })
    };
    let mut found: Vec<ChannelRows> = Vec::new();
    while found.len() < limit {
        let last = found.last().map(|rows| &rows.channel).or(after);
        let last = last.map_or("", |name| name.as_str());
        match select.query_row([last], next).optional()? {
            Some(rows) => found.push(rows),
            None => break,
        }
    }
    Ok(found)
}

pub(super) fn last_message_number(
    db: &Connection,
    channel: &ChannelName,
    before: Id,
) -> Result<Option<(Id, u64)>> {
    let mut select = db.prepare_cached(
        "SELECT id, n FROM messages WHERE channel = ?1 AND id < ?2 AND sender IS NOT NULL
         ORDER BY id DESC LIMIT 1",
    )?;
    let last = |row: &Row<'_>| Ok((row.id(0)?, row.number(1)?));
    select
        .query_row(params![channel.as_str(), id(before)], last)
        .optional()
}

pub(super) fn members(
    db: &Connection,
    channel: &ChannelName,
    after: Option<&UserName>,
    limit: usize,
) -> Result<Vec<Member>> {
    let mut select = db.prepare_cached(
        "SELECT user, role, joined_at, changed FROM members
         WHERE channel = ?1 AND user > ?2 ORDER BY user LIMIT ?3",
    )?;
    let after = after.map_or("", |name| name.as_str());
    let bounds = params![channel.as_str(), after, rows(limit)];
    select.query_map(bounds, member)?.collect()
}

pub(super) fn memberships(db: &Connection, user: &UserName) -> Result<Vec<Membership>> {
    let mut select = db.prepare_cached(
        "SELECT channel, role, changed FROM members WHERE user = ?1 ORDER BY channel",
    )?;
    let membership = |row: &Row<'_>| {
        Ok(Membership {
            channel: row.channel(0)?,
            role: role(row, 1)?,
            changed: row.id(2)?,
        })
    };
    select.query_map([user.as_str()], membership)?.collect()
}

fn member(row: &Row<'_>) -> Result<Member> {
    Ok(Member {
        user: row.user(0)?,
        role: role(row, 1)?,
        joined_at_ms: row.number(2)?,
        changed: row.id(3)?,
    })
}

fn role(row: &Row<'_>, at: usize) -> Result<Role> {
    Role::parse(row.text(at)?).ok_or_else(|| invalid_value(at, "role"))
}

/// By channel, in the order of `names`.
pub(super) fn descriptions(db: &Connection, names: &[ChannelName]) -> Result<Vec<Description>> {
    let mut select =
        db.prepare_cached("SELECT topic, topic_id, archived_id FROM channels WHERE name = ?1")?;
    let description = |row: &Row<'_>| {
        let topic = match row.optional_id(1)? {
            Some(set_by) => Some((row.get(0)?, set_by)),
            None => None,
        };
        let archived = row.optional_id(2)?;
        Ok(Description { topic, archived })
    };
    let one = |name: &ChannelName| {
        let found = select.query_row([name.as_str()], description).optional()?;
        Ok(found.unwrap_or_default())
    };
    names.iter().map(one).collect()
}
