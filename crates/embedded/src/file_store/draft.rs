//! Drafts: files being written, and the removal of those whose writer died.
//!
//! A live writer holds a lock on its draft. The kernel releases the lock when the process ends,
//! however it ends, so a draft that can be locked has no writer.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::paths::remove_file;
use crate::folder::private_file;
use lakechat_core::domain::StoredName;

/// Owns a draft's name: dropping it removes the file.
pub(super) struct Draft {
    pub path: PathBuf,
}

impl Draft {
    /// Creates a draft and locks it.
    pub fn create(folder: &Path, name: StoredName) -> io::Result<(Draft, File)> {
        let mut attempts = 0..;
        loop {
            let path = folder.join(format!("{name}.{}", attempts.next().unwrap_or(0)));
            let file = private_file().create_new(true).open(&path)?;
            let draft = Draft { path };
            // Between creation and lock a sweep may lock the file or remove it: then try again
            // under another name.
            if try_lock(&file)? && file.metadata()?.nlink() > 0 {
                return Ok((draft, file));
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Usually it has been renamed or removed already. If removing fails, a sweep does it later.
        let _ = remove_file(&self.path);
    }
}

/// Removes drafts that have no writer and were last written `idle` ago or earlier; returns how many.
pub(super) fn sweep(folder: &Path, idle: Duration) -> io::Result<usize> {
    let now = SystemTime::now();
    let mut swept = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match sweep_one(&path, now, idle) {
            Ok(true) => swept += 1,
            Ok(false) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(swept)
}

fn sweep_one(path: &Path, now: SystemTime, idle: Duration) -> io::Result<bool> {
    let file = File::open(path)?;
    let last_write = file.metadata()?.modified()?;
    let age = now.duration_since(last_write).unwrap_or_default();
    if age < idle || !try_lock(&file)? {
        return Ok(false);
    }
    remove_file(path)
}

/// Returns false if another holds the lock.
fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
