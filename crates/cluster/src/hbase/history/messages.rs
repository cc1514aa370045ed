//! Reading messages and their changes.

use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::row::Row;
use super::super::row_key;
use super::super::scan::Scan;
use super::super::tables::Table;
use lakechat_core::domain::{
    Attachment, Change, ChangeKind, ChannelName, ClientMsgId, FileId, Id, Message, UserName,
};
use lakechat_core::ports::history::MessageRange;

pub(super) async fn in_range(
    client: &Client,
    channel: &ChannelName,
    range: MessageRange,
    limit: usize,
) -> Result<Vec<Message>, HBaseError> {
    let table = Table::messages(client.is_private(channel).await?);
    let scan = match range {
        MessageRange::Newest { after, before } => downwards(table, channel, after, before, &[]),
        MessageRange::Oldest { after, before } => upwards(table, channel, after, before),
    };
    let read = move |connection: &mut _, tables: &_| {
        scan.collect(connection, tables, limit, |row| message(&row))
    };
    let mut found = client.read(read).await?;
    if let MessageRange::Newest { .. } = range {
        found.reverse();
    }
    Ok(found)
}

pub(super) async fn changes(
    client: &Client,
    channel: &ChannelName,
    after: Id,
    before: Id,
    limit: usize,
) -> Result<Vec<Change>, HBaseError> {
    let table = Table::changes(client.is_private(channel).await?);
    let scan = upwards(table, channel, after, before);
    let read = move |connection: &mut _, tables: &_| {
        scan.collect(connection, tables, limit, |row| change(&row).map(Some))
    };
    client.read(read).await
}

pub(super) async fn last_message_number(
    client: &Client,
    channel: &ChannelName,
    before: Id,
) -> Result<Option<(Id, u64)>, HBaseError> {
    let table = Table::messages(client.is_private(channel).await?);
    let columns = &["m:sender", "m:n"];
    let scan = downwards(table, channel, Id::ZERO, before, columns);
    let number = |row: Row| {
        if row.bytes("m:sender").is_none() {
            return Ok(None);
        }
        Ok(Some((id(&row)?, row.need("m:n", number)?)))
    };
    let read = move |connection: &mut _, tables: &_| scan.collect(connection, tables, 1, number);
    Ok(client.read(read).await?.pop())
}

/// Rows with `after < id < before`, smallest first.
fn upwards(table: Table, channel: &ChannelName, after: Id, before: Id) -> Scan {
    Scan {
        table,
        from: row_key::next(row_key::event(channel, after)),
        to: row_key::event(channel, before),
        reversed: false,
        columns: &[],
    }
}

/// Rows with `after < id < before`, largest first: from the largest id below `before`, included.
fn downwards(
    table: Table,
    channel: &ChannelName,
    after: Id,
    before: Id,
    columns: &'static [&'static str],
) -> Scan {
    let below = before.as_u64().checked_sub(1).and_then(Id::from_u64);
    Scan {
        table,
        from: row_key::event(channel, below.unwrap_or(Id::ZERO)),
        to: row_key::event(channel, after),
        reversed: true,
        columns,
    }
}

/// `None` for a row without a sender: a change was written before its message.
fn message(row: &Row) -> Result<Option<Message>, HBaseError> {
    let Some(sender) = row.maybe("m:sender", user)? else {
        return Ok(None);
    };
    let deleted_at_ms = row.maybe("m:deleted_at", number)?;
    Ok(Some(Message {
        id: id(row)?,
        sender,
        text: match deleted_at_ms {
            Some(_) => String::new(),
            None => row.need("m:text", text)?,
        },
        client_msg_id: row.maybe("m:client_msg_id", |text| ClientMsgId::parse(text).ok())?,
        n: row.need("m:n", number)?,
        reply_to: row.maybe("m:reply_to", event)?,
        file: match row.maybe("m:file_id", FileId::parse)? {
            None => None,
            Some(id) => Some(Attachment {
                id,
                name: row.need("m:file_name", text)?,
                size: row.need("m:file_size", number)?,
                media_type: row.need("m:file_type", text)?,
            }),
        },
        edited_at_ms: row.maybe("m:edited_at", number)?,
        deleted_at_ms,
        changed: row.maybe("m:changed", event)?,
        reactions: reactions(row)?,
    }))
}

/// Columns are `r:<emoji> <user>`; a user's name has no space.
fn reactions(row: &Row) -> Result<std::collections::BTreeMap<String, Vec<UserName>>, HBaseError> {
    let mut reactions = std::collections::BTreeMap::new();
    for (qualifier, _) in row.under("r:").filter(|(_, value)| *value == b"+") {
        let parse = || {
            let (emoji, name) = std::str::from_utf8(qualifier).ok()?.rsplit_once(' ')?;
            Some((emoji.to_owned(), user(name)?))
        };
        let (emoji, user) = parse().ok_or_else(|| row.damaged("a column of r:"))?;
        reactions.entry(emoji).or_insert_with(Vec::new).push(user);
    }
    Ok(reactions)
}

fn change(row: &Row) -> Result<Change, HBaseError> {
    Ok(Change {
        id: id(row)?,
        target: row.need("c:target", event)?,
        user: row.need("c:user", user)?,
        kind: match row.bytes("c:kind") {
            Some(b"edit") => ChangeKind::Edit {
                text: String::new(),
            },
            Some(b"delete") => ChangeKind::Delete,
            Some(b"react") => ChangeKind::React {
                emoji: row.need("c:emoji", text)?,
                on: row.need("c:on", |on| on.parse().ok())?,
            },
            _ => return Err(row.damaged("c:kind")),
        },
    })
}

fn id(row: &Row) -> Result<Id, HBaseError> {
    row_key::id_of(&row.key).ok_or_else(|| row.damaged("its key"))
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn event(text: &str) -> Option<Id> {
    text.parse().ok()
}

fn user(text: &str) -> Option<UserName> {
    UserName::parse(text).ok()
}
