//! A file during its upload: in memory while it is small, then in the file store.

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::FilesSettings;
use crate::domain::{Code, FileLocation, Problem, StoredName};
use crate::ports::file_store::FileWriter;
use crate::ports::problem::storage_unavailable;
use crate::ports::{FileStore, PortError};

/// How many bytes of the beginning are kept to detect the media type.
pub(super) const HEAD_BYTES: usize = 4096;

/// The bytes received so far. Dropping it discards them.
pub(super) struct Draft<'a> {
    name: StoredName,
    store: &'a dyn FileStore,
    settings: FilesSettings,
    size: u64,
    sum: Sha256,
    head: Vec<u8>,
    held: Held,
}

enum Held {
    Memory(BytesMut),
    Store(Box<dyn FileWriter>),
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        name: StoredName,
        store: &'a dyn FileStore,
        settings: FilesSettings,
    ) -> Draft<'a> {
        Draft::continuing(name, store, settings, Sha256::new())
    }

    /// A draft of a part: the sum is that of the bytes before it.
    pub(super) fn continuing(
        name: StoredName,
        store: &'a dyn FileStore,
        settings: FilesSettings,
        sum: Sha256,
    ) -> Draft<'a> {
        Draft {
            name,
            store,
            settings,
            size: 0,
            sum,
            head: Vec::new(),
            held: Held::Memory(BytesMut::new()),
        }
    }

    /// Adds a chunk. Returns when the store has room for the next one.
    pub(super) async fn add(&mut self, chunk: Bytes) -> Result<(), Problem> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.size += chunk.len() as u64;
        if self.size > self.settings.max_bytes {
            return Err(too_large(self.settings.max_bytes));
        }
        // Hashed on this task and not on a blocking thread: a chunk is the result of one read of
        // the socket, and takes well under a millisecond.
        self.sum.update(&chunk);
        let more = chunk.len().min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&chunk[..more]);
        self.keep(chunk).await.map_err(storage_unavailable)
    }

    async fn keep(&mut self, chunk: Bytes) -> Result<(), PortError> {
        match &mut self.held {
            Held::Store(writer) => writer.write(chunk).await,
            Held::Memory(bytes) if bytes.len() + chunk.len() <= self.settings.inline_bytes => {
                bytes.extend_from_slice(&chunk);
                Ok(())
            }
            Held::Memory(bytes) => {
                let begun = std::mem::take(bytes).freeze();
                let mut writer = self.store.create(self.name).await?;
                let written = write_both(&mut *writer, begun, chunk).await;
                // Also after a failed write, so that `abort` can remove the draft.
                self.held = Held::Store(writer);
                written
            }
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn sha256(&self) -> [u8; 32] {
        self.sum.clone().finalize().into()
    }

    pub(super) fn sum(&self) -> &Sha256 {
        &self.sum
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Makes the bytes durable in the store. A small file stays in memory, and its row makes it
    /// durable.
    pub(super) async fn commit(self) -> Result<FileLocation, Problem> {
        match self.held {
            Held::Memory(bytes) => Ok(FileLocation::Inline(bytes.freeze())),
            Held::Store(writer) => {
                let path = writer.commit().await.map_err(storage_unavailable)?;
                Ok(FileLocation::Stored(path))
            }
        }
    }

    /// The bytes, if there are too few for the store.
    pub(super) fn into_small(self) -> Result<Bytes, Box<Draft<'a>>> {
        match self.held {
            Held::Memory(bytes) => Ok(bytes.freeze()),
            Held::Store(_) => Err(Box::new(self)),
        }
    }

    /// Makes the bytes durable in the store, however few there are. Returns their path.
    pub(super) async fn commit_to_store(self) -> Result<String, Problem> {
        let committed = async {
            match self.held {
                Held::Store(writer) => writer.commit().await,
                Held::Memory(bytes) => {
                    let mut writer = self.store.create(self.name).await?;
                    writer.write(bytes.freeze()).await?;
                    writer.commit().await
                }
            }
        };
        committed.await.map_err(storage_unavailable)
    }

    /// Discards the bytes. If the store can't remove them, the sweeper does later.
    pub(super) async fn abort(self) {
        if let Held::Store(writer) = self.held
            && let Err(error) = writer.abort().await
        {
            metrics::counter!("lakechat_upload_aborts_failed_total").increment(1);
            warn!(file.id = %self.name, %error, "what a refused upload wrote is left to the sweeper");
        }
    }
}

async fn write_both(
    writer: &mut dyn FileWriter,
    begun: Bytes,
    chunk: Bytes,
) -> Result<(), PortError> {
    if !begun.is_empty() {
        writer.write(begun).await?;
    }
    writer.write(chunk).await
}

pub(super) fn too_large(max_bytes: u64) -> Problem {
    let text = format!("A file may have at most {max_bytes} bytes.");
    Problem::new(Code::FileTooLarge, text).limit(max_bytes)
}
