//! Rows of resumable uploads: one JSON object each.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::columns::{ReadColumn, invalid_value, limit as rows};
use lakechat_core::domain::{FileId, Upload};

/// Stores an upload and returns true, unless its id has another row.
pub(super) fn create(db: &Connection, upload: &Upload) -> Result<bool> {
    let mut insert = db.prepare_cached(
        "INSERT INTO uploads (id, upload) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING",
    )?;
    let inserted = insert.execute(params![upload.id.to_string(), json(upload)])?;
    Ok(inserted > 0 || find(db, upload.id)?.as_ref() == Some(upload))
}

pub(super) fn find(db: &Connection, id: FileId) -> Result<Option<Upload>> {
    let mut select = db.prepare_cached("SELECT upload FROM uploads WHERE id = ?1")?;
    select.query_row([id.to_string()], upload).optional()
}

/// Replaces `old` by `new` and returns true, unless the row is neither. If it is `new` already, an
/// earlier try of this call replaced it.
pub(super) fn replace(db: &Connection, old: &Upload, new: &Upload) -> Result<bool> {
    let stored = find(db, old.id)?;
    if stored.as_ref() != Some(old) {
        return Ok(stored.as_ref() == Some(new));
    }
    let mut update = db.prepare_cached("UPDATE uploads SET upload = ?2 WHERE id = ?1")?;
    update.execute(params![new.id.to_string(), json(new)])?;
    Ok(true)
}

pub(super) fn remove(db: &Connection, id: FileId) -> Result<()> {
    let mut delete = db.prepare_cached("DELETE FROM uploads WHERE id = ?1")?;
    delete.execute([id.to_string()])?;
    Ok(())
}

pub(super) fn list(db: &Connection, after: Option<FileId>, limit: usize) -> Result<Vec<Upload>> {
    let mut select =
        db.prepare_cached("SELECT upload FROM uploads WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let after = after.map_or(String::new(), |id| id.to_string());
    let uploads = select.query_map(params![after, rows(limit)], upload)?;
    uploads.collect()
}

fn upload(row: &Row<'_>) -> Result<Upload> {
    serde_json::from_str(row.text(0)?).map_err(|_| invalid_value(0, "upload"))
}

fn json(upload: &Upload) -> String {
    serde_json::to_string(upload).expect("an upload is JSON")
}
