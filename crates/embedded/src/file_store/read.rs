//! Reads a file in chunks.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use futures_util::stream;

use super::blocking_jobs::BlockingJobs;
use lakechat_core::ports::file_store::ByteStream;

/// Size of a chunk, and so what a reader holds in memory.
const CHUNK_BYTES: u64 = 64 << 10;

/// Opens a file at `offset`; fails unless it has `length` bytes from there.
pub(super) fn open(path: &Path, offset: u64, length: u64) -> io::Result<File> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    if offset.saturating_add(length) > size {
        return Err(too_short());
    }
    file.seek(SeekFrom::Start(offset))?;
    Ok(file)
}

/// The next `length` bytes of a file.
pub(super) fn stream(file: File, length: u64, jobs: BlockingJobs) -> ByteStream {
    let chunks = stream::try_unfold((file, length, jobs), async |(file, left, jobs)| {
        if left == 0 {
            return Ok(None);
        }
        let read = move || read_chunk(file, left.min(CHUNK_BYTES));
        let (file, chunk) = jobs.run(read).await?;
        let left = left - chunk.len() as u64;
        Ok(Some((chunk, (file, left, jobs))))
    });
    Box::pin(chunks)
}

fn read_chunk(mut file: File, length: u64) -> io::Result<(File, Bytes)> {
    let mut chunk = Vec::with_capacity(length as usize);
    file.by_ref().take(length).read_to_end(&mut chunk)?;
    if (chunk.len() as u64) < length {
        return Err(too_short());
    }
    Ok((file, chunk.into()))
}

fn too_short() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the file is shorter than its row says",
    )
}
