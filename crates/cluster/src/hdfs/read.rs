//! Reading a file in pieces, somewhat ahead of who reads.

use std::pin::pin;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hdfs_native::file::FileReader;
use metrics::counter;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::native::name_node::port_error;
use super::store::Site;
use crate::hdfs::exceptions::{broken, unavailable};
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::ByteStream;

/// Bytes asked of a DataNode at once. The library takes in as much of it as comes, up to 6 MiB: so
/// this is what a reader that stands still holds in memory. It holds no connection then.
const PIECE: u64 = 2 << 20;

/// Packets of at most 64 KiB between the DataNode and the reader. Full: no more is read, until the
/// reader goes on.
const AHEAD: usize = 16;

type Told = Result<Bytes, PortError>;

/// Bytes of a file that are there.
pub(super) struct Range {
    reader: FileReader,
    at: u64,
    end: u64,
}

/// Opens a file that has `length` bytes from `offset` on.
pub(super) async fn open(
    site: &Site,
    place: &str,
    offset: u64,
    length: u64,
) -> Result<Range, PortError> {
    let client = site.name_node.client();
    let reader = site.name_node.answer("open", client.read(place)).await?;
    let size = reader.file_length() as u64;
    let end = offset.checked_add(length).filter(|end| *end <= size);
    let end = end.ok_or_else(|| {
        broken(format!(
            "{place} has {size} bytes, and {length} from {offset} on were asked for"
        ))
    })?;
    Ok(Range {
        reader,
        at: offset,
        end,
    })
}

impl Range {
    /// The bytes. They are read by a task, which ends when the stream is dropped.
    pub fn stream(self, tasks: &TaskTracker) -> ByteStream {
        let left = self.end - self.at;
        let (tell, told) = mpsc::channel(AHEAD);
        if left > 0 {
            tasks.spawn(self.read(tell));
        }
        Box::pin(stream::unfold((told, left), next))
    }

    async fn read(mut self, tell: mpsc::Sender<Told>) {
        while self.at < self.end {
            // Whole pieces of the file, as their checksums are.
            let length = (PIECE - self.at % PIECE).min(self.end - self.at);
            match self.read_piece(length, &tell).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // Dropped by a reader that has seen enough.
                    drop(tell.send(Err(error)).await);
                    return;
                }
            }
        }
    }

    /// Passes the next bytes on; tells whether anybody still reads.
    async fn read_piece(
        &mut self,
        length: u64,
        tell: &mpsc::Sender<Told>,
    ) -> Result<bool, PortError> {
        let piece = self
            .reader
            .read_range_stream(self.at as usize, length as usize);
        let mut piece = pin!(piece);
        let end = self.at + length;
        while self.at < end {
            let chunk = tokio::select! {
                // A reader that went away wants nothing of what is lost here.
                () = tell.closed() => return Ok(false),
                chunk = piece.next() => chunk,
            };
            let chunk = chunk.ok_or_else(|| broken("a DataNode gave too few bytes"))?;
            let chunk = chunk.map_err(|error| port_error(error, "HDFS"))?;
            self.at += chunk.len() as u64;
            counter!("lakechat_hdfs_read_bytes_total").increment(chunk.len() as u64);
            if tell.send(Ok(chunk)).await.is_err() {
                return Ok(false);
            }
        }
        // Its end lets go of the connection, for the next piece.
        drop(piece.next().await);
        Ok(true)
    }
}

/// The next chunk. A task that ended early is an error: a stream that just ends would be whole.
async fn next(
    (mut told, left): (mpsc::Receiver<Told>, u64),
) -> Option<(Told, (mpsc::Receiver<Told>, u64))> {
    if left == 0 {
        return None;
    }
    let chunk = told.recv().await;
    let chunk = chunk.unwrap_or_else(|| Err(unavailable("reading ended early")));
    let left = chunk.as_ref().map_or(0, |chunk| left - chunk.len() as u64);
    Some((chunk, (told, left)))
}
