//! Downloads: a file's bytes, at the reader's speed.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tracing::error;

use super::transfer::Transfer;
use super::{Files, parts};
use crate::domain::{File, Problem, UserName};
use crate::ports::PortError;
use crate::ports::file_store::ByteStream;
use crate::ports::problem::stored_file_problem;

impl Files {
    /// Bytes of a file, for a user who may read it. The caller has checked that, and that the range
    /// lies within the size in the row. The stream yields exactly as many bytes as the range has, or
    /// ends with an error. The error is `Broken` if the store has fewer bytes or yields more.
    ///
    /// Errors: `rate_limited`; `storage_unavailable`; `internal` if the store has lost the file.
    pub async fn content(
        &self,
        file: &File,
        range: Range<u64>,
        user: &UserName,
    ) -> Result<ByteStream, Problem> {
        let length = range.end - range.start;
        let slot = self.transfer_slot(user)?;
        let mut transfer = Transfer::download(file.id, user.clone(), slot);
        let opened = self.read(file, range).await;
        let inner = opened.map_err(stored_file_problem).inspect_err(|problem| {
            transfer.end(problem.code.as_str());
        })?;
        // No chunk will complete what is empty.
        if length == 0 {
            transfer.done();
        }
        Ok(Box::pin(Content {
            inner,
            left: length,
            transfer,
        }))
    }

    /// The same without a check of the size, and uncounted.
    pub(super) async fn read(
        &self,
        file: &File,
        range: Range<u64>,
    ) -> Result<ByteStream, PortError> {
        parts::read(&self.store, &file.location, file.size, range).await
    }
}

/// Bytes of a file, checked against the size in its row.
struct Content {
    inner: ByteStream,
    left: u64,
    transfer: Transfer,
}

impl Content {
    /// Checks a chunk, or the end of the store's stream (`None`), against the remaining size.
    fn check(&mut self, given: Option<Result<Bytes, PortError>>) -> Result<Bytes, PortError> {
        let broken = |reason: &str| PortError::broken("file store", reason);
        let chunk = given.unwrap_or_else(|| Err(broken("a file is shorter than its row says")))?;
        let left = self.left.checked_sub(chunk.len() as u64);
        self.left = left.ok_or_else(|| broken("a file is longer than its row says"))?;
        Ok(chunk)
    }
}

impl Stream for Content {
    type Item = Result<Bytes, PortError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Ends at the promised size by itself: the HTTP server may stop polling there, and the
        // transfer is already counted as done.
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let given = std::task::ready!(self.inner.poll_next_unpin(cx));
        let checked = self.check(given);
        match &checked {
            Ok(chunk) => {
                self.transfer.moved(chunk.len());
                if self.left == 0 {
                    self.transfer.done();
                }
            }
            Err(problem) => {
                error!(file.id = %self.transfer.file(), error = %problem, "a download is cut");
                self.left = 0;
                self.transfer.end("cut");
            }
        }
        Poll::Ready(Some(checked))
    }
}
