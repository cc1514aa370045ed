//! Rows of files, including the bytes of small files.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::columns::{ReadColumn, int, invalid_value, limit as rows};
use lakechat_core::domain::{ChannelName, File, FileId, FileLocation, FilePart};

/// Stores a file. An existing row is identical, as files never change.
pub(super) fn put(db: &Connection, file: &File) -> Result<()> {
    let (path, data, parts) = match &file.location {
        FileLocation::Stored(path) => (Some(path.as_str()), None, None),
        FileLocation::Inline(bytes) => (None, Some(&bytes[..]), None),
        FileLocation::Parts(parts) => (None, None, Some(json(parts))),
    };
    let mut insert = db.prepare_cached(
        "INSERT INTO files (id, name, size, sha256, type, uploader, created_at, path, data, parts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING",
    )?;
    insert.execute(params![
        file.id.to_string(),
        file.name,
        int(file.size),
        hex::encode(file.sha256),
        file.media_type,
        file.uploader.as_str(),
        int(file.created_at_ms),
        path,
        data,
        parts,
    ])?;
    Ok(())
}

pub(super) fn remove(db: &Connection, id: FileId) -> Result<()> {
    let id = id.to_string();
    let mut delete = db.prepare_cached("DELETE FROM files WHERE id = ?1")?;
    delete.execute([&id])?;
    let mut delete = db.prepare_cached("DELETE FROM file_posts WHERE file_id = ?1")?;
    delete.execute([&id])?;
    Ok(())
}

pub(super) fn find(db: &Connection, id: FileId) -> Result<Option<File>> {
    let mut select = db.prepare_cached(
        "SELECT id, name, size, sha256, type, uploader, created_at, path, data, parts
         FROM files WHERE id = ?1",
    )?;
    select.query_row([id.to_string()], file).optional()
}

pub(super) fn list(db: &Connection, after: Option<FileId>, limit: usize) -> Result<Vec<File>> {
    let mut select = db.prepare_cached(
        "SELECT id, name, size, sha256, type, uploader, created_at, path, data, parts
         FROM files WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let after = after.map_or(String::new(), |id| id.to_string());
    let files = select.query_map(params![after, rows(limit)], file)?;
    files.collect()
}

fn file(row: &Row<'_>) -> Result<File> {
    let mut sha256 = [0; 32];
    hex::decode_to_slice(row.text(3)?, &mut sha256).map_err(|_| invalid_value(3, "sha256"))?;
    Ok(File {
        id: row.file_id(0)?,
        name: row.get(1)?,
        size: row.number(2)?,
        sha256,
        media_type: row.get(4)?,
        uploader: row.user(5)?,
        created_at_ms: row.number(6)?,
        location: location(row)?,
    })
}

fn location(row: &Row<'_>) -> Result<FileLocation> {
    if let Some(path) = row.get(7)? {
        return Ok(FileLocation::Stored(path));
    }
    if let Some(parts) = row.get::<_, Option<String>>(9)? {
        let parts = serde_json::from_str(&parts).map_err(|_| invalid_value(9, "parts"))?;
        return Ok(FileLocation::Parts(parts));
    }
    Ok(FileLocation::Inline(row.get::<_, Vec<u8>>(8)?.into()))
}

fn json(parts: &[FilePart]) -> String {
    serde_json::to_string(parts).expect("paths and sizes are JSON")
}

pub(super) fn post(db: &Connection, id: FileId, channel: &ChannelName) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO file_posts (file_id, channel) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    insert.execute(params![id.to_string(), channel.as_str()])?;
    Ok(())
}

pub(super) fn posted_in(db: &Connection, id: FileId) -> Result<Vec<ChannelName>> {
    let mut select =
        db.prepare_cached("SELECT channel FROM file_posts WHERE file_id = ?1 ORDER BY channel")?;
    let posted = select.query_map([id.to_string()], |row| row.channel(0))?;
    posted.collect()
}
