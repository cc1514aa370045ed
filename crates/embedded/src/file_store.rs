//! The file store: files in the folder `files` of the data folder, drafts in `tmp`.

mod blocking_jobs;
mod check;
mod draft;
mod errors;
mod list;
mod paths;
mod read;
mod writer;

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use self::blocking_jobs::BlockingJobs;
use self::draft::Draft;
use self::errors::port_error;
use self::paths::{file_size, remove_file, resolve};
use self::writer::FolderWriter;
use super::folder::DataFolder;
use lakechat_core::domain::StoredName;
use lakechat_core::ports::file_store::{ByteStream, FileListing, FileWriter};
use lakechat_core::ports::{FileStore, PortError};

pub(super) struct FolderStore {
    files: PathBuf,
    drafts: PathBuf,
    pub jobs: BlockingJobs,
}

impl FolderStore {
    pub fn new(folder: &DataFolder) -> FolderStore {
        FolderStore {
            files: folder.files(),
            drafts: folder.tmp(),
            jobs: BlockingJobs::new(),
        }
    }
}

#[async_trait]
impl FileStore for FolderStore {
    async fn create(&self, name: StoredName) -> Result<Box<dyn FileWriter>, PortError> {
        let drafts = self.drafts.clone();
        let (draft, file) = self.jobs.run(move || Draft::create(&drafts, name)).await?;
        let (files, jobs) = (self.files.clone(), self.jobs.clone());
        let writer = FolderWriter::new(draft, file, files, name.path(), jobs);
        Ok(Box::new(writer))
    }

    async fn read(&self, path: &str, offset: u64, length: u64) -> Result<ByteStream, PortError> {
        let path = resolve(&self.files, path)?;
        let open = move || read::open(&path, offset, length);
        let file = self.jobs.run(open).await?;
        Ok(read::stream(file, length, self.jobs.clone()))
    }

    async fn size(&self, path: &str) -> Result<Option<u64>, PortError> {
        let path = resolve(&self.files, path)?;
        self.jobs.run(move || file_size(&path)).await
    }

    async fn remove(&self, path: &str) -> Result<(), PortError> {
        let path = resolve(&self.files, path)?;
        self.jobs.run(move || remove_file(&path)).await.map(drop)
    }

    async fn sweep_drafts(&self, idle: Duration) -> Result<usize, PortError> {
        let drafts = self.drafts.clone();
        self.jobs.run(move || draft::sweep(&drafts, idle)).await
    }

    async fn list(&self, age: Range<Duration>) -> Result<FileListing, PortError> {
        list::list(self.files.clone(), age).map_err(port_error)
    }

    async fn check(&self) -> Result<(), PortError> {
        let (files, drafts) = (self.files.clone(), self.drafts.clone());
        self.jobs.run(move || check::check(&files, &drafts)).await
    }
}
