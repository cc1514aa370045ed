//! Where files lie within the store: [`StoredName::path`].

use std::io;
use std::path::{Path, PathBuf};

use super::errors::broken;
use lakechat_core::domain::StoredName;
use lakechat_core::ports::PortError;

/// Where a path of this store lies on the disk. Any other path is refused, so that a damaged row
/// can't name a file outside the store.
pub(super) fn resolve(files: &Path, path: &str) -> Result<PathBuf, PortError> {
    match StoredName::of_path(path) {
        Some(_) => Ok(files.join(path)),
        None => Err(broken(format!("{path:?} is not a path of this store"))),
    }
}

/// The size of a file in bytes; `None` if it doesn't exist.
pub(super) fn file_size(path: &Path) -> io::Result<Option<u64>> {
    match path.metadata() {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Removes a file; returns whether it was there.
pub(super) fn remove_file(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
