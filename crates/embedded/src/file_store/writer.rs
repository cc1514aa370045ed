//! Writing one file: chunks are gathered, and one batch is on its way to the disk while the next
//! is gathered.

use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;

use super::blocking_jobs::Jobs;
use super::draft::Draft;
use super::{FolderStore, finished, port_error, remove, unavailable};
use crate::folder::{make_private_dir, sync_dir};
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::FileWriter;

/// Bytes that go to the disk in one go. Twice that is what a writer holds in memory.
const BATCH: usize = 256 << 10;
/// After this many bytes the disk is set to work on them, beside the writing: one sync of everything
/// at the end would hold up the commits of the log for as long as it takes.
const SYNC_EVERY: usize = 32 << 20;

pub(super) struct FolderWriter {
    draft: Draft,
    files: PathBuf,
    /// Where it will be within the store.
    path: String,
    gathered: Vec<u8>,
    state: State,
    syncing: Option<JoinHandle<io::Result<()>>>,
    jobs: Jobs,
}

enum State {
    Idle(Disk),
    Writing(JoinHandle<io::Result<Disk>>),
    Failed,
}

/// The file, and a buffer to gather the next batch in.
struct Disk {
    file: File,
    spare: Vec<u8>,
    unsynced: usize,
}

impl FolderWriter {
    pub fn new(draft: Draft, file: File, store: &FolderStore, path: String) -> FolderWriter {
        FolderWriter {
            draft,
            files: store.files.clone(),
            path,
            gathered: Vec::new(),
            state: State::Idle(Disk {
                file,
                spare: Vec::new(),
                unsynced: 0,
            }),
            syncing: None,
            jobs: store.jobs.clone(),
        }
    }

    /// Waits for the batch that is on its way, then sends the next.
    async fn send(&mut self) -> Result<(), PortError> {
        let mut disk = self.disk().await?;
        if disk.unsynced >= SYNC_EVERY {
            // Only one at a time: so no more than twice the amount is ever unsynced.
            self.synced().await?;
            disk.unsynced = 0;
            let file = disk.file.try_clone().map_err(port_error)?;
            self.syncing = Some(self.jobs.start(move || file.sync_data()).await);
        }
        let batch = mem::replace(&mut self.gathered, mem::take(&mut disk.spare));
        self.state = State::Writing(self.jobs.start(move || disk.write(batch)).await);
        Ok(())
    }

    /// The file, once nothing is on its way to it. It is the caller's from then on: a writer that
    /// does not put it back has failed.
    async fn disk(&mut self) -> Result<Disk, PortError> {
        if let State::Writing(job) = &mut self.state {
            let written = finished(job.await);
            self.state = State::Failed;
            return written;
        }
        match mem::replace(&mut self.state, State::Failed) {
            State::Idle(disk) => Ok(disk),
            State::Writing(_) | State::Failed => Err(unavailable("an earlier write failed".into())),
        }
    }

    /// Waits for the sync under way. What it says must be heard: the kernel tells of a failed sync
    /// once.
    async fn synced(&mut self) -> Result<(), PortError> {
        match self.syncing.as_mut() {
            Some(job) => {
                let synced = finished(job.await);
                self.syncing = None;
                synced
            }
            None => Ok(()),
        }
    }
}

impl Disk {
    fn write(mut self, mut batch: Vec<u8>) -> io::Result<Disk> {
        self.file.write_all(&batch)?;
        self.unsynced += batch.len();
        batch.clear();
        self.spare = batch;
        Ok(self)
    }
}

#[async_trait]
impl FileWriter for FolderWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), PortError> {
        self.gathered.extend_from_slice(&chunk);
        if self.gathered.len() >= BATCH {
            self.send().await?;
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<String, PortError> {
        self.send().await?;
        let disk = self.disk().await?;
        self.synced().await?;
        let (from, to) = (self.draft.path.clone(), self.files.join(&self.path));
        let publish = move || publish(&disk.file, &from, &to);
        self.jobs.run(publish).await?;
        Ok(mem::take(&mut self.path))
    }

    async fn abort(mut self: Box<Self>) -> Result<(), PortError> {
        // The outcome of a write does not matter to a file that goes.
        let disk = self.disk().await;
        let path = self.draft.path.clone();
        let remove = move || {
            drop(disk);
            remove(&path).map(drop)
        };
        self.jobs.run(remove).await
    }
}

/// Makes a draft a file: its bytes are durable before its name is, and its name before we say so.
fn publish(file: &File, from: &Path, to: &Path) -> io::Result<()> {
    file.sync_all()?;
    let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let above = folder.parent().ok_or(io::ErrorKind::InvalidInput)?;
    make_private_dir(folder)?;
    fs::rename(from, to)?;
    sync_dir(folder)?;
    // Also where another upload made the folder: that one may not have synced it yet.
    sync_dir(above)
}
