//! An open file in HDFS, and the library's reader behind it.

use futures_util::StreamExt;
use hdfs_native::file::FileReader;

use super::name_node::port_error;
use crate::hdfs::client::{Chunks, OpenFile};

/// The library takes in as much of a piece as the DataNode sends, up to 6 MiB: so this is what a reader
/// that stands still holds in memory.
const PIECE_BYTES: u64 = 2 << 20;

pub(super) struct NativeFile(FileReader);

impl NativeFile {
    pub fn new(reader: FileReader) -> NativeFile {
        NativeFile(reader)
    }
}

impl OpenFile for NativeFile {
    fn length(&self) -> u64 {
        self.0.file_length() as u64
    }

    fn piece_bytes(&self) -> u64 {
        PIECE_BYTES
    }

    fn read(&self, offset: u64, length: u64) -> Chunks {
        let chunks = self.0.read_range_stream(offset as usize, length as usize);
        Box::pin(chunks.map(|chunk| chunk.map_err(|error| port_error(error, "HDFS"))))
    }
}
