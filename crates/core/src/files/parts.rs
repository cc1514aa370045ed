//! Reads a file wherever its bytes are.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sync_wrapper::SyncStream;

use crate::domain::{FileLocation, FilePart};
use crate::ports::file_store::ByteStream;
use crate::ports::{FileStore, PortError};

/// A range of a part, as the store reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    path: String,
    offset: u64,
    length: u64,
}

/// Bytes of a file of `size` bytes. The range lies within the size.
pub(super) async fn read(
    store: &Arc<dyn FileStore>,
    location: &FileLocation,
    size: u64,
    range: Range<u64>,
) -> Result<ByteStream, PortError> {
    match location {
        FileLocation::Inline(cell) => part_of_cell(cell, size, range),
        FileLocation::Stored(path) => store.read(path, range.start, range.end - range.start).await,
        FileLocation::Parts(parts) => read_pieces(store, pieces(parts, range)).await,
    }
}

/// A range of the cell of a file that has so many bytes.
fn part_of_cell(cell: &Bytes, size: u64, range: Range<u64>) -> Result<ByteStream, PortError> {
    if cell.len() as u64 != size {
        let has = cell.len();
        let reason = format!("the cell of a file of {size} bytes has {has}");
        return Err(PortError::broken("directory", reason));
    }
    let bytes = cell.slice(range.start as usize..range.end as usize);
    Ok(Box::pin(stream::once(std::future::ready(Ok(bytes)))))
}

/// What to read of which part.
fn pieces(parts: &[FilePart], range: Range<u64>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut begin = 0;
    for part in parts {
        let end = begin + part.size;
        let (from, to) = (range.start.max(begin), range.end.min(end));
        if from < to {
            pieces.push(Piece {
                path: part.path.clone(),
                offset: from - begin,
                length: to - from,
            });
        }
        begin = end;
    }
    pieces
}

/// The first piece is opened at once, so that a store that is away fails the call and not the stream.
async fn read_pieces(
    store: &Arc<dyn FileStore>,
    pieces: Vec<Piece>,
) -> Result<ByteStream, PortError> {
    let mut pieces = pieces.into_iter();
    let Some(first) = pieces.next() else {
        return Ok(Box::pin(stream::empty()));
    };
    let first = store.read(&first.path, first.offset, first.length).await?;
    let store = Arc::clone(store);
    let rest = stream::iter(pieces)
        .then(move |piece| {
            let store = Arc::clone(&store);
            async move { store.read(&piece.path, piece.offset, piece.length).await }
        })
        .try_flatten();
    Ok(Box::pin(SyncStream::new(first.chain(rest))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_read_from_the_parts_that_have_it() {
        let part = |path: &str, size| FilePart {
            path: path.to_owned(),
            size,
        };
        let parts = [part("a", 10), part("b", 1), part("c", 5)];
        for (range, wanted) in [
            (0..16, vec![("a", 0, 10), ("b", 0, 1), ("c", 0, 5)]),
            (0..0, vec![]),
            (16..16, vec![]),
            (0..10, vec![("a", 0, 10)]),
            (9..12, vec![("a", 9, 1), ("b", 0, 1), ("c", 0, 1)]),
            (10..11, vec![("b", 0, 1)]),
            (15..16, vec![("c", 4, 1)]),
        ] {
            let found = pieces(&parts, range.clone());
            let found = found.iter().map(|p| (&*p.path, p.offset, p.length));
            assert_eq!(found.collect::<Vec<_>>(), wanted, "{range:?}");
        }
    }
}
