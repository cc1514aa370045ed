//! Where the bytes of larger files lie.

use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use super::PortError;
use crate::domain::FileId;

/// The bytes of a file, chunk by chunk. An error ends it; a stream that ends without one is whole.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, PortError>> + Send + Sync>>;

/// A file that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    pub id: FileId,
    /// Its path within the store, as `commit` answered it.
    pub path: String,
}

/// Files one by one. An error ends it; a stream that ends without one is complete.
pub type FileListing = Pin<Box<dyn Stream<Item = Result<StoredFile, PortError>> + Send>>;

/// Files, each written once from beginning to end and never changed.
///
/// A half file is never visible: bytes go to a temporary place, and only `FileWriter::commit` makes
/// them a file. Memory is bounded whatever the size. Any `Unavailable` or `Broken` while writing
/// means that there will be no file.
#[async_trait]
pub trait FileStore: Send + Sync {
    /// Begins a file. Ids are never used twice.
    async fn create(&self, id: FileId) -> Result<Box<dyn FileWriter>, PortError>;

    /// The bytes of a file from `offset` on, `length` of them; the caller knows that they are
    /// within the file. A file that is gone or shorter is `Broken`. Dropping the stream frees
    /// everything.
    async fn read(&self, path: &str, offset: u64, length: u64) -> Result<ByteStream, PortError>;

    /// Removes a file; one that is not there is no error. Dropping is safe: it happens or not.
    async fn remove(&self, path: &str) -> Result<(), PortError>;

    /// Removes what writers that died left behind, where nobody has written for `idle`. Tells how
    /// many. Writers that live are never touched.
    async fn sweep_drafts(&self, idle: Duration) -> Result<usize, PortError>;

    /// The files that were committed so long ago, in any order: at least `age.start`, less than
    /// `age.end`. The age counts from the commit and not from the last write, which may have been
    /// hours before. Files that come or go meanwhile may be among them or not. Memory is bounded
    /// however many there are; what isn't a file of this store is passed over.
    async fn list(&self, age: Range<Duration>) -> Result<FileListing, PortError>;

    /// Whether files could be read and written now: a round trip to where they lie that would meet a
    /// store that is gone, read-only or full, and leaves nothing that anybody sees. Asked about once
    /// a second for each server, and not again before it has answered. An error is why not, for an
    /// operator's eyes. Dropping is safe.
    async fn check(&self) -> Result<(), PortError>;

    /// Ends the store's background work and removes what only a live server needs. Called once, after
    /// every writer was committed, aborted or dropped; waits until what they wrote is a file or removed.
    /// Without it, after an error, or when it is dropped half-way, nothing is lost: a later `sweep` of
    /// any server removes what is left. A store without background work has nothing to do.
    async fn close(&self) -> Result<(), PortError> {
        Ok(())
    }
}

/// A file being written. Dropping it without `commit` removes what was written.
#[async_trait]
pub trait FileWriter: Send {
    /// Adds a chunk; returns when there is room for the next, so the caller is slowed to the store's
    /// pace. Not safe to drop half-way but for abandoning the file.
    async fn write(&mut self, chunk: Bytes) -> Result<(), PortError>;

    /// Makes the file visible and durable; answers its path within the store. Dropped half-way, the
    /// file may or may not exist.
    async fn commit(self: Box<Self>) -> Result<String, PortError>;

    /// Removes what was written; returns when it is gone.
    async fn abort(self: Box<Self>) -> Result<(), PortError>;
}
