//! Writes one file: chunks are collected into batches, and one batch is written while the next is
//! collected.

use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;

use super::blocking_jobs::BlockingJobs;
use super::draft::Draft;
use super::errors::{outcome, port_error, unavailable};
use super::paths::remove_file;
use crate::folder::{make_private_dir, sync_dir};
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::FileWriter;

/// Bytes of one write. A writer holds up to two batches in memory.
const BATCH_BYTES: usize = 256 << 10;
/// After this many bytes a sync runs beside the writing. Syncing everything at the end would delay
/// the log's commits on the same disk for as long as that takes.
const SYNC_EVERY_BYTES: usize = 32 << 20;

pub(super) struct FolderWriter {
    draft: Draft,
    files: PathBuf,
    /// The file's path within the store, once it is committed.
    path: String,
    batch: Vec<u8>,
    state: WriteState,
    syncing: Option<JoinHandle<io::Result<()>>>,
    jobs: BlockingJobs,
}

enum WriteState {
    Idle(DraftFile),
    Writing(JoinHandle<io::Result<DraftFile>>),
    Failed,
}

/// The open draft, with an empty buffer for the next batch.
struct DraftFile {
    handle: File,
    spare: Vec<u8>,
    unsynced_bytes: usize,
}

impl FolderWriter {
    pub fn new(
        draft: Draft,
        handle: File,
        files: PathBuf,
        path: String,
        jobs: BlockingJobs,
    ) -> FolderWriter {
        FolderWriter {
            draft,
            files,
            path,
            batch: Vec::new(),
            state: WriteState::Idle(DraftFile {
                handle,
                spare: Vec::new(),
                unsynced_bytes: 0,
            }),
            syncing: None,
            jobs,
        }
    }

    /// Waits for the write under way, then starts writing the current batch.
    async fn start_write(&mut self) -> Result<(), PortError> {
        let mut file = self.file().await?;
        if file.unsynced_bytes >= SYNC_EVERY_BYTES {
            // One sync at a time, so at most twice this amount is ever unsynced.
            self.finish_sync().await?;
            file.unsynced_bytes = 0;
            let handle = file.handle.try_clone().map_err(port_error)?;
            self.syncing = Some(self.jobs.start(move || handle.sync_data()).await);
        }
        let batch = mem::replace(&mut self.batch, mem::take(&mut file.spare));
        self.state = WriteState::Writing(self.jobs.start(move || file.write(batch)).await);
        Ok(())
    }

    /// Waits for the write under way and takes the file. Until the caller puts it back into `state`,
    /// the writer counts as failed.
    async fn file(&mut self) -> Result<DraftFile, PortError> {
        if let WriteState::Writing(job) = &mut self.state {
            let written = outcome(job.await);
            self.state = WriteState::Failed;
            return written;
        }
        match mem::replace(&mut self.state, WriteState::Failed) {
            WriteState::Idle(file) => Ok(file),
            WriteState::Writing(_) | WriteState::Failed => {
                Err(unavailable("an earlier write failed"))
            }
        }
    }

    /// Waits for the sync under way. Its result must not be dropped: the kernel reports a failed
    /// writeback only once.
    async fn finish_sync(&mut self) -> Result<(), PortError> {
        match self.syncing.as_mut() {
            Some(job) => {
                let synced = outcome(job.await);
                self.syncing = None;
                synced
            }
            None => Ok(()),
        }
    }
}

impl DraftFile {
    fn write(mut self, mut batch: Vec<u8>) -> io::Result<DraftFile> {
        self.handle.write_all(&batch)?;
        self.unsynced_bytes += batch.len();
        batch.clear();
        self.spare = batch;
        Ok(self)
    }
}

#[async_trait]
impl FileWriter for FolderWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), PortError> {
        self.batch.extend_from_slice(&chunk);
        if self.batch.len() >= BATCH_BYTES {
            self.start_write().await?;
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<String, PortError> {
        self.start_write().await?;
        let file = self.file().await?;
        self.finish_sync().await?;
        let (from, to) = (self.draft.path.clone(), self.files.join(&self.path));
        let publish = move || publish(&file.handle, &from, &to);
        self.jobs.run(publish).await?;
        Ok(mem::take(&mut self.path))
    }

    async fn abort(mut self: Box<Self>) -> Result<(), PortError> {
        // The file is removed, so a failed write does not matter.
        let file = self.file().await;
        let path = self.draft.path.clone();
        let remove = move || {
            drop(file);
            remove_file(&path).map(drop)
        };
        self.jobs.run(remove).await
    }
}

/// Turns a draft into a file. Its bytes are durable before it has its name, and the name is durable
/// when this returns.
fn publish(file: &File, from: &Path, to: &Path) -> io::Result<()> {
    file.sync_all()?;
    let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let above = folder.parent().ok_or(io::ErrorKind::InvalidInput)?;
    make_private_dir(folder)?;
    fs::rename(from, to)?;
    sync_dir(folder)?;
    // Even if another upload created the folder: that one may not have synced its name yet.
    sync_dir(above)
}
