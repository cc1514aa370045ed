//! Stores rows idempotently and in any order.
//!
//! The archiver retries whole batches, and after a restart it stores rows again. So every statement
//! leaves the same cells however often and in whatever order rows arrive: of two changes to the same
//! thing, the larger id wins. A change that arrives before its message creates a
//! row without a sender, which readers skip until the message arrives.

use rusqlite::{Connection, Result, params};

use crate::columns::{id, int};
use lakechat_core::domain::{
    Cells, Change, ChangeKind, ChannelName, HistoryRow, Id, Message, Role, UserName,
};

pub(super) fn rows(db: &Connection, rows: &[HistoryRow]) -> Result<()> {
    rows.iter().try_for_each(|row| store(db, row))
}

fn store(db: &Connection, row: &HistoryRow) -> Result<()> {
    let channel = &row.channel;
    match &row.cells {
        Cells::Message(message) => store_message(db, channel, row.private, message),
        Cells::Change(change) => store_change(db, channel, row.private, change),
        Cells::Member {
            id,
            user,
            role,
            joined,
        } => store_member(db, channel, user, *id, *role, *joined),
        Cells::Topic { id, topic } => store_topic(db, channel, *id, topic),
        Cells::Archived { id } => store_archived(db, channel, *id),
    }
}

/// Stores the message as sent. What earlier changes wrote to its row is kept.
fn store_message(db: &Connection, channel: &ChannelName, private: bool, m: &Message) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO messages (channel, id, sender, text, sent_at, client_msg_id, n, reply_to,
             file_id, file_name, file_size, file_type, private)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (channel, id) DO UPDATE
         SET text = iif(edit_id IS NULL AND deleted_at IS NULL, excluded.text, text),
             sender = excluded.sender, sent_at = excluded.sent_at, n = excluded.n,
             client_msg_id = excluded.client_msg_id, reply_to = excluded.reply_to,
             file_id = excluded.file_id, file_name = excluded.file_name,
             file_size = excluded.file_size, file_type = excluded.file_type",
    )?;
    let file = m.file.as_ref();
    insert.execute(params![
        channel.as_str(),
        id(m.id),
        m.sender.as_str(),
        m.text,
        int(m.id.ms()),
        m.client_msg_id.as_ref().map(|c| c.as_str()),
        int(m.n),
        m.reply_to.map(id),
        file.map(|f| f.id.to_string()),
        file.map(|f| f.name.as_str()),
        file.map(|f| int(f.size)),
        file.map(|f| f.media_type.as_str()),
        private,
    ])?;
    Ok(())
}

fn store_change(
    db: &Connection,
    channel: &ChannelName,
    private: bool,
    change: &Change,
) -> Result<()> {
    let (emoji, on) = match &change.kind {
        ChangeKind::React { emoji, on } => (Some(emoji.as_str()), Some(*on)),
        ChangeKind::Edit { .. } | ChangeKind::Delete => (None, None),
    };
    let mut insert = db.prepare_cached(
        r#"INSERT INTO changes (channel, id, target, kind, user, emoji, "on", private)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (channel, id) DO NOTHING"#,
    )?;
    insert.execute(params![
        channel.as_str(),
        id(change.id),
        id(change.target),
        change.kind.as_str(),
        change.user.as_str(),
        emoji,
        on,
        private,
    ])?;
    change_message(db, channel, private, change)
}

/// Changes the target's row; creates it if it doesn't exist yet.
fn change_message(
    db: &Connection,
    channel: &ChannelName,
    private: bool,
    change: &Change,
) -> Result<()> {
    let (channel, target, by) = (channel.as_str(), id(change.target), id(change.id));
    let ms = int(change.id.ms());
    match &change.kind {
        ChangeKind::Edit { text } => {
            let mut edit = db.prepare_cached(EDIT)?;
            edit.execute(params![channel, target, text, ms, by, private])?;
        }
        ChangeKind::Delete => {
            let mut delete = db.prepare_cached(DELETE)?;
            delete.execute(params![channel, target, ms, by, private])?;
        }
        ChangeKind::React { emoji, on } => {
            let mut touch = db.prepare_cached(TOUCH)?;
            touch.execute(params![channel, target, by, private])?;
            let mut react = db.prepare_cached(REACT)?;
            let user = change.user.as_str();
            react.execute(params![channel, target, emoji, user, on, by])?;
        }
    }
    Ok(())
}

const EDIT: &str = "
    INSERT INTO messages (channel, id, text, edited_at, edit_id, changed, private)
    VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)
    ON CONFLICT (channel, id) DO UPDATE
    SET text = iif(deleted_at IS NULL AND excluded.edit_id > coalesce(edit_id, 0),
            excluded.text, text),
        edited_at = iif(excluded.edit_id > coalesce(edit_id, 0), excluded.edited_at, edited_at),
        edit_id = max(excluded.edit_id, coalesce(edit_id, 0)),
        changed = max(excluded.changed, coalesce(changed, 0))";

const DELETE: &str = "
    INSERT INTO messages (channel, id, text, deleted_at, changed, private)
    VALUES (?1, ?2, '', ?3, ?4, ?5)
    ON CONFLICT (channel, id) DO UPDATE
    SET text = '',
        deleted_at = max(excluded.deleted_at, coalesce(deleted_at, 0)),
        changed = max(excluded.changed, coalesce(changed, 0))";

const TOUCH: &str = "
    INSERT INTO messages (channel, id, changed, private)
    VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (channel, id) DO UPDATE
    SET changed = max(excluded.changed, coalesce(changed, 0))";

const REACT: &str = r#"
    INSERT INTO reactions (channel, id, emoji, user, "on", changed)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (channel, id, emoji, user) DO UPDATE
    SET "on" = excluded."on", changed = excluded.changed
    WHERE excluded.changed > changed"#;

/// The role comes from the newest event, the time of joining from the newest event that joined.
fn store_member(
    db: &Connection,
    channel: &ChannelName,
    user: &UserName,
    event: Id,
    role: Role,
    joined: bool,
) -> Result<()> {
    let joined_at = if joined { int(event.ms()) } else { 0 };
    let mut upsert = db.prepare_cached(
        "INSERT INTO members (channel, user, role, joined_at, changed) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (channel, user) DO UPDATE
         SET role = iif(excluded.changed > changed, excluded.role, role),
             joined_at = max(excluded.joined_at, joined_at),
             changed = max(excluded.changed, changed)",
    )?;
    let (channel, user) = (channel.as_str(), user.as_str());
    upsert.execute(params![channel, user, role.as_str(), joined_at, id(event)])?;
    Ok(())
}

fn store_topic(db: &Connection, channel: &ChannelName, event: Id, topic: &str) -> Result<()> {
    let mut upsert = db.prepare_cached(
        "INSERT INTO channels (name, topic, topic_id) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET topic = excluded.topic, topic_id = excluded.topic_id
         WHERE excluded.topic_id > coalesce(topic_id, 0)",
    )?;
    upsert.execute(params![channel.as_str(), topic, id(event)])?;
    Ok(())
}

fn store_archived(db: &Connection, channel: &ChannelName, event: Id) -> Result<()> {
    let mut upsert = db.prepare_cached(
        "INSERT INTO channels (name, archived_id) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE
         SET archived_id = max(excluded.archived_id, coalesce(archived_id, 0))",
    )?;
    upsert.execute(params![channel.as_str(), id(event)])?;
    Ok(())
}
