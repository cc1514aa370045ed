//! Lists the files of the store, on a thread of its own: the walk waits for its reader.

use std::fs::{DirEntry, read_dir};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::errors::port_error;
use lakechat_core::domain::{StoredName, now_ms};
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::{FileListing, StoredFile};
use lakechat_core::threads::stream_from_thread;

/// Files found ahead of the reader. When the queue is full the walk waits.
const READ_AHEAD: usize = 64;

type FileSender = mpsc::Sender<Result<StoredFile, PortError>>;

/// The files whose commit is as long ago as `age` says. Fails if the thread can't be started.
pub(super) fn list(files: PathBuf, age: Range<Duration>) -> io::Result<FileListing> {
    let files = stream_from_thread("embedded-files", READ_AHEAD, move |sender| {
        walk(&files, &age, sender).map_err(port_error)
    })?;
    Ok(Box::pin(files))
}

fn walk(files: &Path, age: &Range<Duration>, sender: &FileSender) -> io::Result<()> {
    let now = Duration::from_millis(now_ms());
    for folder in read_dir(files)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for entry in read_dir(folder.path())? {
            let Some(file) = stored_file(&folder, &entry?, now, age)? else {
                continue;
            };
            if sender.blocking_send(Ok(file)).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The entry as a file of this store; `None` if it is something else or not of the age.
fn stored_file(
    folder: &DirEntry,
    entry: &DirEntry,
    now: Duration,
    age: &Range<Duration>,
) -> io::Result<Option<StoredFile>> {
    let file_name = entry.file_name();
    let Some(name) = file_name.to_str().and_then(StoredName::parse) else {
        return Ok(None);
    };
    let path = name.path();
    let in_place = folder
        .file_name()
        .to_str()
        .is_some_and(|hex| path.starts_with(hex));
    let metadata = match entry.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    // The commit's rename is the inode's last change (ctime); the last write may be much older (mtime).
    let committed = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
    let is_listed = in_place && metadata.is_file() && age.contains(&now.saturating_sub(committed));
    Ok(is_listed.then_some(StoredFile { name, path }))
}
