//! The SQLite file: its schema, and how connections to it are set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::folder::{DataFolder, OpenError, private_file};
use super::settings::EmbeddedSettings;
use super::sqlite_log;

/// "lake" in ASCII: `file` and SQLite's tools identify the database by it.
const APPLICATION_ID: i32 = 0x6c61_6b65;
const SCHEMA_VERSION: i32 = 1;
const SCHEMA: &str = include_str!("schema.sql");
/// Tables that are created in existing databases, too. Older releases ignore them, so they need no schema
/// version.
const ADDED_TABLES: &[&str] = &[
    include_str!("dead_letters.sql"),
    include_str!("uploads.sql"),
    include_str!("audit.sql"),
    include_str!("invites.sql"),
];
/// Columns that are added to a database whose tables were created without them: table, column, type.
/// They are NULL in old rows, and older releases ignore them, so they need no schema version.
const ADDED_COLUMNS: &[(&str, &str, &str)] = &[
    ("sessions", "replaced_hash", "TEXT"),
    ("sessions", "replaced_seed", "TEXT"),
    ("sessions", "replaced_at", "INTEGER"),
    ("sessions", "address", "TEXT"),
    ("sessions", "client", "TEXT"),
    ("users", "admin", "INTEGER"),
    ("users", "disabled", "INTEGER"),
    ("files", "parts", "TEXT"),
];

/// Pages in the WAL at which the writer checkpoints during a commit. The maintenance thread usually
/// checkpoints far earlier; this bounds the WAL when that thread can't keep up.
const AUTOCHECKPOINT_PAGES: i32 = 4_000;
/// Bytes to which SQLite truncates the WAL file when it starts over at the beginning.
const WAL_LIMIT_BYTES: i64 = 16 << 20;
/// Prepared statements cached by each connection.
const CACHED_STATEMENTS: usize = 64;

/// Opens the writer's connection; creates the database and its tables if they don't exist.
pub(super) fn open(
    folder: &DataFolder,
    settings: &EmbeddedSettings,
) -> Result<Connection, OpenError> {
    let path = folder.database();
    // Created here and not by SQLite, for its mode: SQLite gives the WAL and its index the mode of the
    // database. The folder is synced, as a committed message must not lose its database's name.
    let created = private_file().create(true).truncate(false).open(&path);
    created
        .and_then(|file| file.sync_all())
        .and_then(|()| super::folder::sync_dir(&folder.root))
        .map_err(|source| OpenError::Io {
            path: path.clone(),
            source,
        })?;
    let opened = connect(&path, settings.busy_timeout).and_then(|db| {
        db.pragma_update(None, "journal_mode", "wal")?;
        // FULL: every commit syncs the WAL before it returns. That is the durability of an ack.
        db.pragma_update(None, "synchronous", "full")?;
        db.pragma_update(None, "wal_autocheckpoint", AUTOCHECKPOINT_PAGES)?;
        db.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
        // Negative: KiB of page cache.
        db.pragma_update(None, "cache_size", -16_384)?;
        let version = ensure_schema(&db, settings.partitions)?;
        Ok((db, version))
    });
    of_this_schema(folder, opened)
}

/// Opens a database that exists, for reading only.
pub(super) fn open_existing(
    folder: &DataFolder,
    busy_timeout: Duration,
) -> Result<Connection, OpenError> {
    let opened = open_reader(&folder.database(), busy_timeout).and_then(|db| {
        let version = schema_version(&db)?;
        Ok((db, version))
    });
    of_this_schema(folder, opened)
}

fn of_this_schema(
    folder: &DataFolder,
    opened: rusqlite::Result<(Connection, i32)>,
) -> Result<Connection, OpenError> {
    match opened {
        Ok((db, SCHEMA_VERSION)) => Ok(db),
        Ok((_, version)) => Err(OpenError::Incomplete {
            path: folder.root.clone(),
            reason: format!(
                "its database has schema {version}; this release needs {SCHEMA_VERSION}"
            ),
        }),
        Err(source) => Err(OpenError::Database {
            path: folder.database(),
            source,
        }),
    }
}

fn schema_version(db: &Connection) -> rusqlite::Result<i32> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let db = connect(path, busy_timeout)?;
    db.pragma_update(None, "query_only", true)?;
    db.pragma_update(None, "cache_size", -4_096)?;
    Ok(db)
}

/// Opens a connection for checkpoints and `VACUUM INTO`, which `query_only` forbids.
pub(super) fn open_unrestricted(
    path: &Path,
    busy_timeout: Duration,
) -> rusqlite::Result<Connection> {
    let db = connect(path, busy_timeout)?;
    // A checkpoint syncs the WAL before it overwrites database pages.
    db.pragma_update(None, "synchronous", "full")?;
    Ok(db)
}

fn connect(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    sqlite_log::start();
    // NO_MUTEX: each connection is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(busy_timeout)?;
    db.pragma_update(None, "temp_store", "memory")?;
    db.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(db)
}

/// Creates the tables of a new database; returns the version of the schema that it has.
fn ensure_schema(db: &Connection, partitions: u16) -> rusqlite::Result<i32> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let version = schema_version(&tx)?;
    if version == SCHEMA_VERSION {
        add_missing_tables(&tx)?;
        add_missing_columns(&tx)?;
        tx.commit()?;
        return Ok(version);
    }
    if version != 0 {
        return Ok(version);
    }
    tx.execute_batch(SCHEMA)?;
    add_missing_tables(&tx)?;
    tx.execute(
        "INSERT INTO meta (name, value) VALUES ('partitions', ?1), ('log_end', 0), ('log_time', 0)",
        [partitions],
    )?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.commit()?;
    Ok(SCHEMA_VERSION)
}

fn add_missing_tables(db: &Connection) -> rusqlite::Result<()> {
    ADDED_TABLES
        .iter()
        .try_for_each(|table| db.execute_batch(table))
}

fn add_missing_columns(db: &Connection) -> rusqlite::Result<()> {
    for (table, column, kind) in ADDED_COLUMNS {
        let mut select = db.prepare("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2")?;
        if !select.exists([table, column])? {
            db.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))?;
        }
    }
    Ok(())
}
