//! Files in a folder: `files/<first two hex digits of the id>/<id>`, and drafts in `tmp`.

mod blocking_jobs;
mod check;
mod draft;
mod list;
mod read;
mod writer;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use self::blocking_jobs::Jobs;
use self::draft::Draft;
use self::writer::FolderWriter;
use super::folder::DataFolder;
use lakechat_core::domain::FileId;
use lakechat_core::ports::file_store::{ByteStream, FileWriter, Listing};
use lakechat_core::ports::{FileStore, PortError};

pub(super) struct FolderStore {
    files: PathBuf,
    drafts: PathBuf,
    pub jobs: Jobs,
}

impl FolderStore {
    pub fn new(folder: &DataFolder) -> FolderStore {
        FolderStore {
            files: folder.files(),
            drafts: folder.tmp(),
            jobs: Jobs::new(),
        }
    }

    /// Where a path of ours lies; any other is refused, whatever wrote it.
    fn place(&self, path: &str) -> Result<PathBuf, PortError> {
        let id = path.split_once('/').and_then(|(_, id)| FileId::parse(id));
        match id {
            Some(id) if relative(id) == path => Ok(self.files.join(path)),
            _ => Err(broken(format!("{path:?} is no path of this store"))),
        }
    }
}

#[async_trait]
impl FileStore for FolderStore {
    async fn create(&self, id: FileId) -> Result<Box<dyn FileWriter>, PortError> {
        let drafts = self.drafts.clone();
        let (draft, file) = self.jobs.run(move || Draft::begin(&drafts, id)).await?;
        let writer = FolderWriter::new(draft, file, self, relative(id));
        Ok(Box::new(writer))
    }

    async fn read(&self, path: &str, offset: u64, length: u64) -> Result<ByteStream, PortError> {
        let place = self.place(path)?;
        let open = move || read::open(&place, offset, length);
        let file = self.jobs.run(open).await?;
        Ok(read::stream(file, length, self.jobs.clone()))
    }

    async fn remove(&self, path: &str) -> Result<(), PortError> {
        let place = self.place(path)?;
        self.jobs.run(move || remove(&place)).await.map(drop)
    }

    async fn sweep(&self, idle: Duration) -> Result<usize, PortError> {
        let drafts = self.drafts.clone();
        self.jobs.run(move || draft::sweep(&drafts, idle)).await
    }

    async fn list(&self, age: Range<Duration>) -> Result<Listing, PortError> {
        list::list(self.files.clone(), age).map_err(port_error)
    }

    async fn check(&self) -> Result<(), PortError> {
        let (files, drafts) = (self.files.clone(), self.drafts.clone());
        self.jobs.run(move || check::check(&files, &drafts)).await
    }
}

/// The path of a file within the store.
fn relative(id: FileId) -> String {
    let id = id.to_string();
    format!("{}/{id}", &id[..2])
}

/// Removes a file; tells whether it was there.
fn remove(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn finished<T>(joined: Result<io::Result<T>, tokio::task::JoinError>) -> Result<T, PortError> {
    match joined {
        Ok(done) => done.map_err(port_error),
        Err(gone) => Err(unavailable(gone.to_string())),
    }
}

fn port_error(error: io::Error) -> PortError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => broken(error.to_string()),
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
            broken(error.to_string())
        }
        _ => unavailable(error.to_string()),
    }
}

fn broken(reason: String) -> PortError {
    PortError::broken("files", reason)
}

fn unavailable(reason: String) -> PortError {
    PortError::unavailable("files", reason)
}
