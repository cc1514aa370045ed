//! A consistent copy of a data folder, taken while a server writes to it.
//!
//! First the database, as it is at one moment (`VACUUM INTO`), then the files that it names: rows of
//! files come after their bytes, so all of them are there. What says that the copy is whole, its
//! layout, is written last. The result is a data folder like any other.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::columns::Column;
use super::database;
use super::folder::{
    DataFolder, KEY, OpenError, make_private_dir, private_file, sync_dir, write_layout,
};

/// How long to wait for somebody's lock on the database.
const BUSY: Duration = Duration::from_secs(10);
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Why there is no backup, or not a whole one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Folder(#[from] OpenError),
    #[error("{} is not empty; a backup wants an empty or new folder", .0.display())]
    TargetNotEmpty(PathBuf),
    #[error("{count} files have a row and no bytes, {first} for one; all else is copied")]
    FilesMissing { count: u64, first: String },
}

/// How far a backup is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub database: u64,
    pub files: u64,
    /// What `files` will be; 0 while the database is copied.
    pub files_total: u64,
    pub files_count: u64,
}

/// Copies the data folder of a running or stopped server into an empty or new folder on any disk;
/// on the same disk files are linked, not copied, which takes no space. The key is copied too.
pub fn backup(
    data_dir: &Path,
    key: &Path,
    target: &Path,
    report: &mut dyn FnMut(Progress),
) -> Result<Progress, BackupError> {
    let from = DataFolder::existing(data_dir)?;
    let to = DataFolder {
        root: target.to_owned(),
    };
    begin(target)?;
    let mut progress = Progress {
        database: copy_database(&from, &to, report)?,
        ..Progress::default()
    };
    let missing = copy_files(&from, &to, &mut progress, report)?;
    let key_copy = target.join(KEY);
    if key.exists() {
        at(&key_copy, copy(key, &key_copy))?;
    }
    at(target, write_layout(target))?;
    match missing {
        Some(missing) => Err(missing),
        None => Ok(progress),
    }
}

fn begin(target: &Path) -> Result<(), BackupError> {
    at(target, make_private_dir(target))?;
    let mut inside = at(target, fs::read_dir(target))?;
    match inside.next() {
        Some(_) => Err(BackupError::TargetNotEmpty(target.to_owned())),
        None => Ok(()),
    }
}

/// Answers the bytes of the copy.
fn copy_database(
    from: &DataFolder,
    to: &DataFolder,
    report: &mut dyn FnMut(Progress),
) -> Result<u64, BackupError> {
    let (source, copy) = (from.database(), to.database());
    // Made first, so that nobody else can ever read it; SQLite takes an empty file.
    at(&copy, private_file().create_new(true).open(&copy))?;
    let db = of(&source, database::open_keeper(&source, BUSY))?;
    let copied = thread::scope(|scope| {
        let (done, wait) = mpsc::channel();
        let into = copy.to_string_lossy();
        scope.spawn(move || done.send(db.execute("VACUUM INTO ?1", [into])));
        loop {
            match wait.recv_timeout(REPORT_EVERY) {
                Ok(copied) => return copied,
                Err(RecvTimeoutError::Timeout) => report(Progress {
                    database: length(&copy),
                    ..Progress::default()
                }),
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("the thread sends before it ends")
                }
            }
        }
    });
    of(&source, copied)?;
    at(&copy, File::open(&copy).and_then(|file| file.sync_all()))?;
    Ok(length(&copy))
}

/// Copies what the copied database names; answers what was not there.
fn copy_files(
    from: &DataFolder,
    to: &DataFolder,
    progress: &mut Progress,
    report: &mut dyn FnMut(Progress),
) -> Result<Option<BackupError>, BackupError> {
    let path = to.database();
    let db = of(&path, database::open_reader(&path, BUSY))?;
    let stored = of(&path, stored_files(&db))?;
    drop(db);
    progress.files_total = stored.iter().map(|(_, size)| size).sum();
    let mut missing: Option<(u64, String)> = None;
    at(&to.files(), make_private_dir(&to.files()))?;
    for (name, size) in stored {
        let (source, copy) = (from.files().join(&name), to.files().join(&name));
        match link_or_copy(&source, &copy) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                missing.get_or_insert((0, name)).0 += 1;
            }
            copied => at(&copy, copied)?,
        }
        progress.files += size;
        progress.files_count += 1;
        report(*progress);
    }
    sync_tree(&to.files())?;
    Ok(missing.map(|(count, first)| BackupError::FilesMissing { count, first }))
}

fn stored_files(db: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut select = db.prepare("SELECT path, size FROM files WHERE path IS NOT NULL")?;
    let stored = select.query_map(params![], |row| Ok((row.get(0)?, row.number(1)?)))?;
    stored.collect()
}

/// Files never change, so a second name of the same bytes is as good as a copy.
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

/// Makes the names in a folder and in those below it durable.
fn sync_tree(folder: &Path) -> Result<(), BackupError> {
    for entry in at(folder, fs::read_dir(folder))? {
        let path = at(folder, entry)?.path();
        at(&path, sync_dir(&path))?;
    }
    Ok(at(folder, sync_dir(folder))?)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, OpenError> {
    result.map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })
}

fn of<T>(path: &Path, result: rusqlite::Result<T>) -> Result<T, OpenError> {
    result.map_err(|source| OpenError::Database {
        path: path.to_owned(),
        source,
    })
}
