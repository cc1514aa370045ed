//! Reads a file in pieces, somewhat ahead of the reader.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use metrics::counter;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::client::OpenFile;
use super::exceptions::{broken, unavailable};
use super::site::Site;
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::ByteStream;

/// Chunks (packets of at most 64 KiB) between the DataNode and the reader. Full: reading pauses until
/// the reader takes one.
const CHUNKS_AHEAD: usize = 16;

type Chunk = Result<Bytes, PortError>;

/// Bytes within a file.
pub(super) struct ByteRange {
    file: Box<dyn OpenFile>,
    at: u64,
    end: u64,
}

/// Opens a file that must have `length` bytes from `offset` on.
pub(super) async fn open(
    site: &Site,
    path: &str,
    offset: u64,
    length: u64,
) -> Result<ByteRange, PortError> {
    let file = site.client.open(path).await?;
    let size = file.length();
    let end = offset.checked_add(length).filter(|end| *end <= size);
    let end = end.ok_or_else(|| {
        broken(format!(
            "{path} has {size} bytes, and {length} from {offset} on were asked for"
        ))
    })?;
    Ok(ByteRange {
        file,
        at: offset,
        end,
    })
}

impl ByteRange {
    /// The bytes. A task reads them, and ends when the stream is dropped.
    pub fn stream(self, tasks: &TaskTracker) -> ByteStream {
        let left = self.end - self.at;
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        if left > 0 {
            tasks.spawn(self.read(sender));
        }
        Box::pin(stream::unfold((chunks, left), next))
    }

    async fn read(mut self, sender: mpsc::Sender<Chunk>) {
        let piece_bytes = self.file.piece_bytes();
        while self.at < self.end {
            // Pieces end where those of the whole file do, as HDFS' checksums cover aligned chunks.
            let length = (piece_bytes - self.at % piece_bytes).min(self.end - self.at);
            match self.read_piece(length, &sender).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // Fails if the reader has left.
                    drop(sender.send(Err(error)).await);
                    return;
                }
            }
        }
    }

    /// Passes the next `length` bytes on; `false` if the reader has left.
    async fn read_piece(
        &mut self,
        length: u64,
        sender: &mpsc::Sender<Chunk>,
    ) -> Result<bool, PortError> {
        let mut piece = self.file.read(self.at, length);
        let end = self.at + length;
        while self.at < end {
            let chunk = tokio::select! {
                // Loses a chunk that nobody would read.
                () = sender.closed() => return Ok(false),
                chunk = piece.next() => chunk,
            };
            let chunk = chunk.ok_or_else(|| broken("a DataNode sent too few bytes"))??;
            self.at += chunk.len() as u64;
            counter!("lakechat_hdfs_read_bytes_total").increment(chunk.len() as u64);
            if sender.send(Ok(chunk)).await.is_err() {
                return Ok(false);
            }
        }
        // Polled to its end, a piece gives its connection back for the next one.
        drop(piece.next().await);
        Ok(true)
    }
}

/// The next chunk. A task that ended early is an error: without one, a short stream looks whole.
async fn next(
    (mut chunks, left): (mpsc::Receiver<Chunk>, u64),
) -> Option<(Chunk, (mpsc::Receiver<Chunk>, u64))> {
    if left == 0 {
        return None;
    }
    let chunk = chunks.recv().await;
    let chunk = chunk.unwrap_or_else(|| Err(unavailable("reading ended early")));
    let left = chunk.as_ref().map_or(0, |chunk| left - chunk.len() as u64);
    Some((chunk, (chunks, left)))
}
