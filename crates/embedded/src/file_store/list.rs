//! Walking through the files: by a thread of its own, as it waits for its reader.

use std::fs::{DirEntry, read_dir};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream;
use tokio::sync::mpsc;

use super::{port_error, relative};
use lakechat_core::domain::FileId;
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::{Listing, StoredFile};

/// Files found ahead; a full queue makes the walker wait.
const AHEAD: usize = 64;

type Found = mpsc::Sender<Result<StoredFile, PortError>>;

/// The files of a folder whose commit is so long ago. An error: there is no thread to be had.
pub(super) fn list(files: PathBuf, age: Range<Duration>) -> io::Result<Listing> {
    let (tell, told) = mpsc::channel(AHEAD);
    let walker = thread::Builder::new().name("embedded-files".into());
    walker.spawn(move || {
        if let Err(error) = walk(&files, &age, &tell) {
            // Dropped by a reader that has seen enough.
            drop(tell.blocking_send(Err(port_error(error))));
        }
    })?;
    let next = |mut told: mpsc::Receiver<_>| async move { told.recv().await.map(|f| (f, told)) };
    Ok(Box::pin(stream::unfold(told, next)))
}

fn walk(files: &Path, age: &Range<Duration>, tell: &Found) -> io::Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    for folder in read_dir(files)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for entry in read_dir(folder.path())? {
            let Some(found) = stored(&folder, &entry?, now, age)? else {
                continue;
            };
            if tell.blocking_send(Ok(found)).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The entry, if it is a file of this store and as old as is asked for.
fn stored(
    folder: &DirEntry,
    entry: &DirEntry,
    now: Duration,
    age: &Range<Duration>,
) -> io::Result<Option<StoredFile>> {
    let name = entry.file_name();
    let Some(id) = name.to_str().and_then(FileId::parse) else {
        return Ok(None);
    };
    let path = relative(id);
    let in_place = folder
        .file_name()
        .to_str()
        .is_some_and(|hex| path.starts_with(hex));
    let metadata = match entry.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    // The rename of the commit is the last change of the inode; writing may have ended long before.
    let committed = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
    let is_asked_for =
        in_place && metadata.is_file() && age.contains(&now.saturating_sub(committed));
    Ok(is_asked_for.then_some(StoredFile { id, path }))
}
