//! The one SQLite file: its schema and how connections to it are set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::folder::{DataFolder, OpenError, private_file};
use super::settings::Settings;

/// "lake", so that `file` and SQLite's own tools can tell whose database it is.
const APPLICATION_ID: i32 = 0x6c61_6b65;
const SCHEMA_VERSION: i32 = 1;
const SCHEMA: &str = include_str!("schema.sql");
/// Beside the schema and no version of its own: nothing but people read it.
const DEAD_LETTERS: &str = include_str!("dead_letters.sql");

/// Frames of the WAL after which the writer checkpoints by itself. The keeper does so far earlier,
/// beside the writer; this is for when it can't keep up.
const CHECKPOINT_PAGES: i32 = 4_000;
/// Bytes to which the WAL is cut when it starts over.
const WAL_BYTES: i64 = 16 << 20;
const STATEMENTS: usize = 64;

/// Opens the database for the writer, and makes its tables if it is new.
pub(super) fn open(folder: &DataFolder, settings: &Settings) -> Result<Connection, OpenError> {
    let path = folder.database();
    // SQLite gives the WAL and its index the mode of the database.
    let made = private_file().create(true).truncate(false).open(&path);
    made.and_then(|file| file.sync_all())
        .and_then(|()| super::folder::sync_dir(&folder.root))
        .map_err(|source| OpenError::Io {
            path: path.clone(),
            source,
        })?;
    let opened = connect(&path, settings.busy_timeout).and_then(|db| {
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "full")?;
        db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        db.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
        db.pragma_update(None, "cache_size", -16_384)?;
        let version = make_schema(&db, settings.partitions)?;
        Ok((db, version))
    });
    match opened {
        Ok((db, SCHEMA_VERSION)) => Ok(db),
        Ok((_, version)) => Err(OpenError::NotWhole {
            path: folder.root.clone(),
            reason: format!("its database has schema {version}, not {SCHEMA_VERSION}"),
        }),
        Err(source) => Err(OpenError::Database { path, source }),
    }
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    let db = connect(path, busy)?;
    db.pragma_update(None, "query_only", true)?;
    db.pragma_update(None, "cache_size", -4_096)?;
    Ok(db)
}

/// Opens a connection that checkpoints or copies: what one that only reads may not do.
pub(super) fn open_keeper(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    let db = connect(path, busy)?;
    db.pragma_update(None, "synchronous", "full")?;
    Ok(db)
}

fn connect(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(busy)?;
    db.pragma_update(None, "temp_store", "memory")?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(db)
}

/// Makes the tables of a new database; answers the version of the schema that stands.
fn make_schema(db: &Connection, partitions: u16) -> rusqlite::Result<i32> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let version: i32 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == SCHEMA_VERSION {
        tx.execute_batch(DEAD_LETTERS)?;
        tx.commit()?;
        return Ok(version);
    }
    if version != 0 {
        return Ok(version);
    }
    tx.execute_batch(SCHEMA)?;
    tx.execute_batch(DEAD_LETTERS)?;
    tx.execute(
        "INSERT INTO meta (name, value) VALUES ('partitions', ?1), ('log_end', 0), ('log_time', 0)",
        [partitions],
    )?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.commit()?;
    Ok(SCHEMA_VERSION)
}
