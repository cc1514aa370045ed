//! Rows of files and a file store in memory, for tests. They fail on request.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::Notify;

use super::{Files, FilesSettings};
use crate::domain::{ChannelName, File, FileId, StoredName, Upload, UserName};
use crate::ports::file_store::{ByteStream, FileListing, FileWriter, StoredFile, SweepGuard};
use crate::ports::{FileRows, FileStore, PortError, UploadRows};

pub const INLINE_BYTES: usize = 64 * 1024;
pub const MAX_BYTES: u64 = 1024 * 1024;
pub const PART_BYTES: u64 = 200_000;

/// [`Files`] over rows and a store in memory.
pub struct Bench {
    pub files: Arc<Files>,
    pub rows: Arc<MemoryRows>,
    pub uploads: Arc<MemoryUploads>,
    pub store: Arc<MemoryStore>,
}

impl Bench {
    #[expect(clippy::new_without_default, reason = "a bench is made, not defaulted")]
    pub fn new() -> Bench {
        Bench::with(MAX_BYTES, INLINE_BYTES)
    }

    pub fn with(max_bytes: u64, inline_bytes: usize) -> Bench {
        let rows = Arc::new(MemoryRows::default());
        let uploads = Arc::new(MemoryUploads::default());
        let store = Arc::new(MemoryStore::default());
        let settings = FilesSettings {
            max_bytes,
            inline_bytes,
            part_bytes: PART_BYTES,
            upload_expiry: Duration::from_secs(3600),
            transfers_per_user: 0,
            transfers: 0,
        };
        Bench {
            files: Arc::new(Files::new(
                rows.clone(),
                uploads.clone(),
                store.clone(),
                settings,
            )),
            rows,
            uploads,
            store,
        }
    }

    /// Asserts that there is neither a row, nor a file, nor an open writer.
    pub fn assert_nothing_is_left(&self) {
        assert!(
            self.rows
                .files
                .lock()
                .expect("no test panics with it")
                .is_empty(),
            "a row"
        );
        assert!(
            self.store
                .shared
                .files
                .lock()
                .expect("no test panics with it")
                .is_empty(),
            "a file"
        );
        assert_eq!(self.store.open_writers(), 0, "open writers");
    }
}

pub fn user(name: &str) -> UserName {
    UserName::parse(name).expect("a user's name")
}

pub fn away(part: &'static str) -> PortError {
    PortError::unavailable(part, "told so by a test")
}

fn gone() -> PortError {
    PortError::broken("file store", "the file is gone")
}

#[derive(Default)]
pub struct MemoryRows {
    pub files: Mutex<HashMap<FileId, File>>,
    pub posts: Mutex<Vec<(FileId, ChannelName)>>,
    pub away: AtomicBool,
    /// Happens while the next row is being put.
    pub during_put: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl MemoryRows {
    fn here(&self) -> Result<(), PortError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(away("directory"));
        }
        Ok(())
    }
}

#[async_trait]
impl FileRows for MemoryRows {
    async fn put(&self, file: &File) -> Result<(), PortError> {
        self.here()?;
        let during = self
            .during_put
            .lock()
            .expect("no test panics with it")
            .take();
        during.into_iter().for_each(|happens| happens());
        self.files
            .lock()
            .expect("no test panics with it")
            .insert(file.id, file.clone());
        Ok(())
    }

    async fn find(&self, id: FileId) -> Result<Option<File>, PortError> {
        self.here()?;
        Ok(self
            .files
            .lock()
            .expect("no test panics with it")
            .get(&id)
            .cloned())
    }

    async fn list(&self, after: Option<FileId>, limit: usize) -> Result<Vec<File>, PortError> {
        self.here()?;
        let files = self.files.lock().expect("no test panics with it");
        let mut listed: Vec<_> = files.values().cloned().collect();
        listed.sort_by_key(|file| file.id);
        listed.retain(|file| after.is_none_or(|after| file.id > after));
        listed.truncate(limit);
        Ok(listed)
    }

    async fn remove(&self, id: FileId) -> Result<(), PortError> {
        self.here()?;
        let mut files = self.files.lock().expect("no test panics with it");
        files.remove(&id);
        Ok(())
    }

    async fn mark_posted(&self, id: FileId, channel: &ChannelName) -> Result<(), PortError> {
        self.here()?;
        self.posts
            .lock()
            .expect("no test panics with it")
            .push((id, channel.clone()));
        Ok(())
    }

    async fn posted_in(&self, id: FileId) -> Result<Vec<ChannelName>, PortError> {
        self.here()?;
        let posts = self.posts.lock().expect("no test panics with it");
        let of_this = posts.iter().filter(|(file, _)| *file == id);
        Ok(of_this.map(|(_, channel)| channel.clone()).collect())
    }
}

#[derive(Default)]
pub struct MemoryUploads {
    pub uploads: Mutex<BTreeMap<FileId, Upload>>,
    pub away: AtomicBool,
}

impl MemoryUploads {
    fn here(&self) -> Result<MutexGuard<'_, BTreeMap<FileId, Upload>>, PortError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(away("directory"));
        }
        Ok(self.uploads.lock().expect("no test panics with it"))
    }

    /// Changes the row of an upload behind everybody's back.
    pub fn change(&self, id: FileId, change: impl FnOnce(&mut Upload)) {
        let mut uploads = self.uploads.lock().expect("no test panics with it");
        change(uploads.get_mut(&id).expect("the upload has a row"));
    }
}

#[async_trait]
impl UploadRows for MemoryUploads {
    async fn create(&self, upload: &Upload) -> Result<bool, PortError> {
        let mut uploads = self.here()?;
        let stored = uploads.entry(upload.id).or_insert_with(|| upload.clone());
        Ok(stored == upload)
    }

    async fn find(&self, id: FileId) -> Result<Option<Upload>, PortError> {
        Ok(self.here()?.get(&id).cloned())
    }

    async fn replace(&self, old: &Upload, new: &Upload) -> Result<bool, PortError> {
        let mut uploads = self.here()?;
        let Some(stored) = uploads.get_mut(&old.id) else {
            return Ok(false);
        };
        if stored == old {
            *stored = new.clone();
        }
        Ok(stored == new)
    }

    async fn remove(&self, id: FileId) -> Result<(), PortError> {
        self.here()?.remove(&id);
        Ok(())
    }

    async fn list(&self, after: Option<FileId>, limit: usize) -> Result<Vec<Upload>, PortError> {
        let uploads = self.here()?;
        let behind = |upload: &&Upload| after.is_none_or(|after| upload.id > after);
        Ok(uploads
            .values()
            .filter(behind)
            .take(limit)
            .cloned()
            .collect())
    }
}

/// The operation of the store that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    Write,
    Commit,
    Read,
    /// A read that ends half-way, without an error.
    ShortRead,
    List,
}

#[derive(Default)]
pub struct MemoryStore {
    pub shared: Arc<Shared>,
}

#[derive(Default)]
pub struct Shared {
    pub files: Mutex<HashMap<String, Stored>>,
    pub fails_at: Mutex<Option<Step>>,
    pub reads: AtomicUsize,
    /// Notified of each chunk that a writer has accepted.
    pub written: Notify,
    /// The bytes that all writers have accepted.
    pub taken: AtomicUsize,
    open_writers: AtomicUsize,
}

pub struct Stored {
    pub name: StoredName,
    pub bytes: Vec<u8>,
    pub age: Duration,
}

impl MemoryStore {
    pub fn open_writers(&self) -> usize {
        self.shared.open_writers.load(Ordering::SeqCst)
    }

    pub fn fail_at(&self, step: Step) {
        *self.shared.fails_at.lock().expect("no test panics with it") = Some(step);
    }

    /// Adds a file without a row; returns its path.
    pub fn put(&self, age: Duration) -> String {
        let name = StoredName::from(FileId::random());
        let path = name.path();
        let bytes = b"orphan".to_vec();
        let stored = Stored { name, bytes, age };
        self.shared
            .files
            .lock()
            .expect("no test panics with it")
            .insert(path.clone(), stored);
        path
    }
}

impl Shared {
    fn check(&self, step: Step) -> Result<(), PortError> {
        if *self.fails_at.lock().expect("no test panics with it") == Some(step) {
            return Err(away("file store"));
        }
        Ok(())
    }
}

#[async_trait]
impl FileStore for MemoryStore {
    async fn create(&self, name: StoredName) -> Result<Box<dyn FileWriter>, PortError> {
        self.shared.check(Step::Create)?;
        self.shared.open_writers.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(MemoryWriter {
            name,
            bytes: Vec::new(),
            shared: self.shared.clone(),
        }))
    }

    async fn read(&self, path: &str, offset: u64, length: u64) -> Result<ByteStream, PortError> {
        self.shared.check(Step::Read)?;
        self.shared.reads.fetch_add(1, Ordering::SeqCst);
        let files = self.shared.files.lock().expect("no test panics with it");
        let bytes = &files.get(path).ok_or_else(gone)?.bytes;
        let short = self.shared.check(Step::ShortRead).is_err();
        let end = offset + if short { length / 2 } else { length };
        let part = Bytes::copy_from_slice(&bytes[offset as usize..end as usize]);
        let chunks: Vec<_> = part
            .chunks(50_000)
            .map(Bytes::copy_from_slice)
            .map(Ok)
            .collect();
        Ok(Box::pin(stream::iter(chunks)))
    }

    async fn size(&self, path: &str) -> Result<Option<u64>, PortError> {
        let files = self.shared.files.lock().expect("no test panics with it");
        Ok(files.get(path).map(|file| file.bytes.len() as u64))
    }

    async fn remove(&self, path: &str) -> Result<(), PortError> {
        self.shared
            .files
            .lock()
            .expect("no test panics with it")
            .remove(path);
        Ok(())
    }

    async fn sweep_drafts(&self, _: Duration) -> Result<usize, PortError> {
        Ok(0)
    }

    async fn list(&self, age: Range<Duration>) -> Result<FileListing, PortError> {
        self.shared.check(Step::List)?;
        let files = self.shared.files.lock().expect("no test panics with it");
        let of_age = files.iter().filter(|(_, stored)| age.contains(&stored.age));
        let listed = of_age.map(|(path, stored)| {
            Ok(StoredFile {
                name: stored.name,
                path: path.clone(),
            })
        });
        Ok(Box::pin(stream::iter(listed.collect::<Vec<_>>())))
    }

    async fn check(&self) -> Result<(), PortError> {
        self.shared.check(Step::Create)
    }
}

struct MemoryWriter {
    name: StoredName,
    bytes: Vec<u8>,
    shared: Arc<Shared>,
}

#[async_trait]
impl FileWriter for MemoryWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), PortError> {
        tokio::task::yield_now().await;
        self.shared.check(Step::Write)?;
        self.bytes.extend_from_slice(&chunk);
        self.shared.taken.fetch_add(chunk.len(), Ordering::SeqCst);
        self.shared.written.notify_one();
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<String, PortError> {
        self.shared.check(Step::Commit)?;
        let path = self.name.path();
        let stored = Stored {
            name: self.name,
            bytes: std::mem::take(&mut self.bytes),
            age: Duration::ZERO,
        };
        self.shared
            .files
            .lock()
            .expect("no test panics with it")
            .insert(path.clone(), stored);
        Ok(path)
    }

    async fn abort(self: Box<Self>) -> Result<(), PortError> {
        Ok(())
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.shared.open_writers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Lets a sweep remove files up to an age, until a number of removals.
pub struct MemoryGuard {
    pub kept_from: Duration,
    pub removals_left: AtomicUsize,
}

impl MemoryGuard {
    /// One that refuses nothing.
    pub fn open() -> MemoryGuard {
        MemoryGuard {
            kept_from: Duration::MAX,
            removals_left: AtomicUsize::new(usize::MAX),
        }
    }
}

#[async_trait]
impl SweepGuard for MemoryGuard {
    async fn begin(&self) -> Result<Duration, PortError> {
        Ok(self.kept_from)
    }

    async fn check(&self) -> Result<(), PortError> {
        let left = self.removals_left.fetch_sub(1, Ordering::SeqCst);
        match left {
            0 => Err(PortError::broken("files", "they belong to somebody else")),
            _ => Ok(()),
        }
    }
}
