//! Copies a data folder consistently while a server writes to it.
//!
//! The database comes first, as one snapshot (`VACUUM INTO`), then the files that the copy names: a
//! file's row is written after its bytes, so the bytes of all of them exist. The `layout` file, which
//! marks the copy as complete, is written last. The result is a data folder like any other.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::columns::ReadColumn;
use super::database;
use super::folder::{
    DataFolder, KEY, OpenError, make_private_dir, private_file, sync_dir, write_layout,
};

/// How long to wait for another process's lock on the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two progress reports while the database is copied.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// Why a backup failed or is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Folder(#[from] OpenError),
    #[error("{} is not empty; the target of a backup must be a new or empty folder", .0.display())]
    TargetNotEmpty(PathBuf),
    #[error(
        "{count} files of the database are missing on the disk, for example {first}; everything else was copied"
    )]
    FilesMissing { count: u64, first: String },
}

/// BackupProgress of a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupProgress {
    /// Bytes of the database's copy.
    pub database_bytes: u64,
    /// Bytes of the files copied or linked so far.
    pub files_bytes: u64,
    /// What `files_bytes` will be at the end; 0 while the database is copied.
    pub files_total_bytes: u64,
    /// Files copied or linked so far.
    pub files_count: u64,
}

/// Copies the data folder of a running or stopped server, and the signing key, into a new or empty
/// folder. On the same file system, files are hard-linked rather than copied, which takes no space.
/// Blocks; `report` is called with the progress. On `FilesMissing` the backup is usable otherwise.
pub fn backup(
    data_dir: &Path,
    key: &Path,
    target: &Path,
    report: &mut dyn FnMut(BackupProgress),
) -> Result<BackupProgress, BackupError> {
    let from = DataFolder::existing(data_dir)?;
    let to = DataFolder {
        root: target.to_owned(),
    };
    prepare_target(target)?;
    let mut progress = BackupProgress {
        database_bytes: copy_database(&from, &to, report)?,
        ..BackupProgress::default()
    };
    let missing = copy_files(&from, &to, &mut progress, report)?;
    let key_copy = target.join(KEY);
    if key.exists() {
        io_at(&key_copy, copy(key, &key_copy))?;
    }
    io_at(target, write_layout(target))?;
    match missing {
        Some(missing) => Err(missing),
        None => Ok(progress),
    }
}

fn prepare_target(target: &Path) -> Result<(), BackupError> {
    io_at(target, make_private_dir(target))?;
    let mut entries = io_at(target, fs::read_dir(target))?;
    match entries.next() {
        Some(_) => Err(BackupError::TargetNotEmpty(target.to_owned())),
        None => Ok(()),
    }
}

/// Returns the size of the copy in bytes.
fn copy_database(
    from: &DataFolder,
    to: &DataFolder,
    report: &mut dyn FnMut(BackupProgress),
) -> Result<u64, BackupError> {
    let (source, copy) = (from.database(), to.database());
    // Created here for its mode, so that no other user can ever read it. SQLite accepts an empty file.
    io_at(&copy, private_file().create_new(true).open(&copy))?;
    let db = sql_at(&source, database::open_unrestricted(&source, BUSY_TIMEOUT))?;
    let copied = thread::scope(|scope| {
        let (done, outcome) = mpsc::channel();
        let into = copy.to_string_lossy();
        scope.spawn(move || done.send(db.execute("VACUUM INTO ?1", [into])));
        loop {
            match outcome.recv_timeout(REPORT_INTERVAL) {
                Ok(copied) => return copied,
                Err(RecvTimeoutError::Timeout) => report(BackupProgress {
                    database_bytes: file_size(&copy),
                    ..BackupProgress::default()
                }),
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("the thread sends before it ends")
                }
            }
        }
    });
    sql_at(&source, copied)?;
    sql_at(&copy, forget_uploads(&copy))?;
    io_at(&copy, File::open(&copy).and_then(|file| file.sync_all()))?;
    Ok(file_size(&copy))
}

/// Uploads that are under way are not part of a backup: their parts come and go.
fn forget_uploads(database: &Path) -> rusqlite::Result<()> {
    let db = database::open_unrestricted(database, BUSY_TIMEOUT)?;
    // The server creates the table when it opens the database.
    db.execute_batch("DROP TABLE IF EXISTS uploads")
}

/// Copies the files that the copied database names; returns those that are missing as an error.
fn copy_files(
    from: &DataFolder,
    to: &DataFolder,
    progress: &mut BackupProgress,
    report: &mut dyn FnMut(BackupProgress),
) -> Result<Option<BackupError>, BackupError> {
    let path = to.database();
    let db = sql_at(&path, database::open_reader(&path, BUSY_TIMEOUT))?;
    let stored = sql_at(&path, stored_files(&db))?;
    drop(db);
    progress.files_total_bytes = stored.iter().map(|(_, size)| size).sum();
    let mut missing: Option<(u64, String)> = None;
    io_at(&to.files(), make_private_dir(&to.files()))?;
    for (name, size) in stored {
        let (source, copy) = (from.files().join(&name), to.files().join(&name));
        match link_or_copy(&source, &copy) {
            // A backup without these is worth more than no backup: go on, and report them at the end.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                missing.get_or_insert((0, name)).0 += 1;
            }
            copied => io_at(&copy, copied)?,
        }
        progress.files_bytes += size;
        progress.files_count += 1;
        report(*progress);
    }
    sync_tree(&to.files())?;
    Ok(missing.map(|(count, first)| BackupError::FilesMissing { count, first }))
}

/// The files that lie whole in the store, and the parts of the others.
fn stored_files(db: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut select = db.prepare(
        "SELECT path, size FROM files WHERE path IS NOT NULL
         UNION ALL
         SELECT part.value ->> 'path', part.value ->> 'size'
         FROM files, json_each(files.parts) AS part",
    )?;
    let stored = select.query_map(params![], |row| Ok((row.get(0)?, row.number(1)?)))?;
    stored.collect()
}

/// Files never change, so a hard link is as good as a copy.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    make_private_dir(folder)?;
    match fs::hard_link(from, to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => copy(from, to),
        linked => linked,
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut copy = private_file().create_new(true).open(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()
}

/// Makes the entries of a folder and of its subfolders durable.
fn sync_tree(folder: &Path) -> Result<(), BackupError> {
    for entry in io_at(folder, fs::read_dir(folder))? {
        let path = io_at(folder, entry)?.path();
        io_at(&path, sync_dir(&path))?;
    }
    Ok(io_at(folder, sync_dir(folder))?)
}

fn file_size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

fn io_at<T>(path: &Path, result: io::Result<T>) -> Result<T, OpenError> {
    result.map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })
}

fn sql_at<T>(path: &Path, result: rusqlite::Result<T>) -> Result<T, OpenError> {
    result.map_err(|source| OpenError::Database {
        path: path.to_owned(),
        source,
    })
}
