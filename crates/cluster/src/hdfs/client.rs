//! What the store needs of a client library for HDFS.
//!
//! Every call ends within a deadline of its own. Errors are those of the port: `Unavailable` leaves it
//! open whether a change was made, as does dropping a future. Paths are absolute.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use lakechat_core::ports::PortError;

/// A file or a folder, as the NameNode describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStatus {
    pub path: String,
    pub is_folder: bool,
    pub length: u64,
    /// Milliseconds since 1970 by the NameNode's clock: when a file was created or closed, when an
    /// entry of a folder came or went.
    pub modified_ms: u64,
}

/// The entries of a folder in any order. An error ends it.
pub(super) type Entries = Pin<Box<dyn Stream<Item = Result<FileStatus, PortError>> + Send>>;

/// Bytes of a file in order. An error ends it.
pub(super) type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, PortError>> + Send>>;

#[async_trait]
pub(super) trait HdfsClient: Send + Sync {
    /// `None` if nothing is there.
    async fn stat(&self, path: &str) -> Result<Option<FileStatus>, PortError>;

    /// The entries of a folder, asked for page by page as the stream is polled. A folder that does not
    /// exist has no entries.
    fn list(&self, path: &str) -> Entries;

    /// Removes a file or a folder; `false` if nothing was there. An open file can be removed: its writer
    /// gets an error from then on.
    async fn delete(&self, path: &str, recursive: bool) -> Result<bool, PortError>;

    /// Makes a folder and those above it. A folder that exists stays as it is.
    async fn make_folder(&self, path: &str) -> Result<(), PortError>;

    /// Renames a file; `false` if it, or the folder of its new path, does not exist.
    async fn rename(&self, from: &str, to: &str) -> Result<bool, PortError>;

    /// Makes an empty file, or replaces a file by an empty one. Its time stamp becomes the present.
    async fn touch(&self, path: &str) -> Result<(), PortError>;

    /// Makes a file and opens it for writing; an error if something is there.
    async fn create(&self, path: &str) -> Result<Box<dyn DraftFile>, PortError>;

    /// Opens a file for reading.
    async fn open(&self, path: &str) -> Result<Box<dyn OpenFile>, PortError>;
}

/// A file that is open for writing. Its futures must be polled to their end: see
/// [`upload`](super::upload).
#[async_trait]
pub(super) trait DraftFile: Send + Sync {
    /// Appends bytes.
    async fn write(&mut self, batch: Bytes) -> Result<(), PortError>;

    /// Returns when the DataNodes have every byte and the NameNode knows the file's length.
    async fn close(&mut self) -> Result<(), PortError>;

    /// Lets go of the DataNodes, after the file was removed.
    async fn end_pipeline(self: Box<Self>);
}

/// A file that is open for reading. It holds no connection between two reads.
pub(super) trait OpenFile: Send {
    fn length(&self) -> u64;

    /// How many bytes to read at once: what is buffered for a reader that stands still.
    fn piece_bytes(&self) -> u64;

    /// Bytes within the file's length.
    fn read(&self, offset: u64, length: u64) -> Chunks;
}
