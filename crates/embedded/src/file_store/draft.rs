//! Files that are being written, and the sweeping up after writers that died.
//!
//! A live writer holds a lock on its draft. The kernel lets go of the lock when the process ends,
//! however it ends: so a draft whose lock is free is nobody's.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::remove;
use crate::folder::private_file;
use lakechat_core::domain::FileId;

/// The name of a draft; dropping it removes the file.
pub(super) struct Draft {
    pub path: PathBuf,
}

impl Draft {
    /// Makes a draft and locks it.
    pub fn begin(folder: &Path, id: FileId) -> io::Result<(Draft, File)> {
        let mut tries = 0..;
        loop {
            let path = folder.join(format!("{id}.{}", tries.next().unwrap_or(0)));
            let file = private_file().create_new(true).open(&path)?;
            let draft = Draft { path };
            // A sweep may have met the file before it was locked; then it is gone.
            if lock(&file)? && file.metadata()?.nlink() > 0 {
                return Ok((draft, file));
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Already renamed or removed in the usual case; what can't be removed is swept later.
        let _ = remove(&self.path);
    }
}

/// Removes drafts without a writer, where nobody has written for `idle`; tells how many.
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
    let written = file.metadata()?.modified()?;
    let age = now.duration_since(written).unwrap_or_default();
    if age < idle || !lock(&file)? {
        return Ok(false);
    }
    remove(path)
}

/// Tells whether the lock could be had.
fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
