//! The store for the bytes of larger files.

use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use super::PortError;
use crate::domain::StoredName;

/// The bytes of a file in order, in chunks. An error ends the stream; a stream that ends without an
/// error is complete.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, PortError>> + Send + Sync>>;

/// A file that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    pub name: StoredName,
    /// The path within the store that [`FileWriter::commit`] returned.
    pub path: String,
}

/// Files, one by one. An error ends the stream; a stream that ends without an error is complete.
pub type FileListing = Pin<Box<dyn Stream<Item = Result<StoredFile, PortError>> + Send>>;

/// Files, each written once from beginning to end and never changed.
///
/// *Visibility.* A file has its path only after [`FileWriter::commit`]: until then its bytes are in
/// a draft, which no call returns. A reader therefore never sees half a file.
///
/// *Memory* is bounded for files of any size.
///
/// *Errors.* `Unavailable`: the store can't be reached, is full or is too slow; retry. `Broken`:
/// the store lost or damaged the file, or refuses the operation until an operator has acted.
///
/// *Dropping a future* is safe, except as [`FileWriter`] states. A call that removes may or may not
/// have removed.
#[async_trait]
pub trait FileStore: Send + Sync {
    /// Begins a file and returns its writer. The caller uses each name for one file only. After an
    /// error, or if the future is dropped, there is no file; a draft may be left for
    /// [`FileStore::sweep_drafts`].
    async fn create(&self, name: StoredName) -> Result<Box<dyn FileWriter>, PortError>;

    /// Reads `length` bytes of a file from byte `offset` on. The caller knows from the file's size
    /// that the range lies within the file.
    ///
    /// `Broken`, from the call or as the stream's error: the file doesn't exist, or is shorter than
    /// the range. Chunks have at most 1 MiB and are read at the reader's pace, about 1 MiB ahead at
    /// most. Dropping the stream ends the reading and frees its resources.
    async fn read(&self, path: &str, offset: u64, length: u64) -> Result<ByteStream, PortError>;

    /// The size of a committed file in bytes; `None` if it doesn't exist.
    async fn size(&self, path: &str) -> Result<Option<u64>, PortError>;

    /// Removes a file. Returns `Ok` if it doesn't exist. After `Unavailable`, or if the future is
    /// dropped, the file may be removed or not; retrying is safe.
    async fn remove(&self, path: &str) -> Result<(), PortError>;

    /// Removes the drafts of writers that no longer exist, if they were last written at least
    /// `idle` ago. Returns how many it removed. After an error some may have been removed.
    ///
    /// Drafts of live writers are kept, however long they have been idle. A store that several
    /// servers share may mistake a server that has lost contact for dead: the writers of that
    /// server then fail, and none of their drafts becomes a file.
    async fn sweep_drafts(&self, idle: Duration) -> Result<usize, PortError>;

    /// Lists the files whose commit is at least `age.start` and less than `age.end` ago, in any
    /// order. The age counts from the commit: the last write may be hours older. Files that are
    /// committed or removed during the listing may be included or not. Anything that isn't a file
    /// of this store is skipped. Memory is bounded for any number of files.
    async fn list(&self, age: Range<Duration>) -> Result<FileListing, PortError>;

    /// Checks whether files can be read and written, with a round trip to the place where they are
    /// stored. It fails if the store is unreachable, read-only or full, and has no visible effect.
    /// The error's text is for operators.
    ///
    /// Each server calls it about once a second, and only after the previous call has returned.
    async fn check(&self) -> Result<(), PortError>;

    /// Ends the store's background work and removes what only a running server needs. Called once,
    /// after every writer was committed, aborted or dropped. Waits until each of their drafts has
    /// become a file or is removed.
    ///
    /// If it is not called, fails or is dropped, no file is lost: a later
    /// [`FileStore::sweep_drafts`] of any server removes what is left. The default is for stores
    /// without background work.
    async fn close(&self) -> Result<(), PortError> {
        Ok(())
    }
}

/// Decides whether a sweep may remove files that have no row: only if store and directory belong
/// together, and the directory has not lost rows.
///
/// `Unavailable` and `Broken` both mean that nothing may be removed; `Broken` says what an operator
/// has to do first.
#[async_trait]
pub trait SweepGuard: Send + Sync {
    /// Called at the beginning of each sweep. Returns the age from which on files without a row have
    /// to be kept, because they may belong to an earlier owner of the store, or to rows that were
    /// lost. The age counts from the commit.
    async fn begin(&self) -> Result<Duration, PortError>;

    /// Called before each removal, after the row was not found.
    async fn check(&self) -> Result<(), PortError>;
}

/// Writes one file. Dropping the writer discards the file: its draft is removed, possibly a moment
/// later.
///
/// After an error, or after the future of `write` was dropped, the writer can only be aborted or
/// dropped.
#[async_trait]
pub trait FileWriter: Send {
    /// Appends a chunk of any length, also an empty one. Returns when there is room for the next
    /// one, which slows the caller down to the store's speed. The bytes may still be buffered then,
    /// and an error may concern an earlier chunk. After an error there will be no file.
    async fn write(&mut self, chunk: Bytes) -> Result<(), PortError>;

    /// Makes the file durable and then visible. Returns its path within the store, for
    /// [`FileStore::read`].
    ///
    /// After an error, or if the future is dropped, the file may or may not exist. Its path is
    /// unknown to the caller; [`FileStore::list`] lists it if it exists.
    async fn commit(self: Box<Self>) -> Result<String, PortError>;

    /// Discards the file. Its draft is removed when this returns `Ok`. After an error, or if the
    /// future is dropped, a draft may be left for [`FileStore::sweep_drafts`].
    async fn abort(self: Box<Self>) -> Result<(), PortError>;
}
