//! Uploads: receives a file chunk by chunk, at the store's speed.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::draft::{Draft, too_large};
use super::transfer::Transfer;
use super::{FileName, Files, MediaType};
use crate::domain::{Code, File, FileId, FileLocation, Problem, UserName, now_ms};
use crate::ports::PortError;
use crate::ports::problem::{directory_unavailable, storage_unavailable};

/// The properties of a file that are known before its bytes arrive.
#[derive(Clone, Debug)]
pub struct NewFile {
    pub name: FileName,
    /// The type that the sender gave.
    pub media_type: Option<MediaType>,
    /// A lower bound of the file's size, if the sender announced one.
    pub min_bytes: Option<u64>,
}

impl Files {
    /// Stores a file under a random id.
    ///
    /// Reads `body` to its end and returns its errors unchanged. Calls `is_expected` with the
    /// SHA-256 after the last byte and before the file is visible; if it returns false, the error
    /// is `checksum_mismatch`.
    ///
    /// If the write of the row fails, or the bytes are gone after it, the row may exist, under an id
    /// that no client has received. After any other error, or if the future is dropped before that write, the file has no row;
    /// the sweeper removes what is left of it.
    ///
    /// Errors: `rate_limited`, `file_too_large`, `checksum_mismatch`, `storage_unavailable`,
    /// `directory_unavailable`, and `internal` if the directory is broken.
    pub async fn upload(
        &self,
        uploader: &UserName,
        new: NewFile,
        body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
        is_expected: impl FnOnce(&[u8; 32]) -> bool + Send,
    ) -> Result<File, Problem> {
        let slot = self.transfer_slot(uploader)?;
        let mut transfer = Transfer::upload(FileId::random(), uploader.clone(), slot);
        let span = tracing::info_span!("upload", file.id = %transfer.file(), size_bytes = Empty);
        let taken = self
            .take_in(&mut transfer, uploader, new, body, is_expected)
            .instrument(span)
            .await;
        match &taken {
            Ok(_) => transfer.done(),
            Err(problem) => transfer.end(problem.code.as_str()),
        }
        taken
    }

    async fn take_in(
        &self,
        transfer: &mut Transfer,
        uploader: &UserName,
        new: NewFile,
        body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
        is_expected: impl FnOnce(&[u8; 32]) -> bool + Send,
    ) -> Result<File, Problem> {
        let max_bytes = self.settings.max_bytes;
        if new.min_bytes.is_some_and(|bytes| bytes > max_bytes) {
            return Err(too_large(max_bytes));
        }
        let mut draft = Draft::new(transfer.file().into(), &*self.store, self.settings);
        if let Err(problem) = fill(&mut draft, transfer, body).await {
            draft.abort().await;
            return Err(problem);
        }
        Span::current().record("size_bytes", draft.size());
        let sha256 = draft.sha256();
        if !is_expected(&sha256) {
            draft.abort().await;
            return Err(mismatch());
        }
        let media_type = MediaType::decide(new.media_type, draft.head());
        let file = File {
            id: transfer.file(),
            name: new.name.into_string(),
            size: draft.size(),
            sha256,
            media_type: media_type.into_string(),
            uploader: uploader.clone(),
            created_at_ms: now_ms(),
            location: draft.commit().await?,
        };
        // The row of a failed put may exist, so the file is kept. The sweeper removes it if it has
        // no row.
        let put = self.rows.put(&file).await;
        put.map_err(directory_unavailable)?;
        self.expect_bytes(&file).await?;
        Ok(file)
    }

    /// Fails if the bytes are gone: if this process stood still for an hour between commit and row, the
    /// sweeper of another server has removed them. It removes nothing once it can see the row, so bytes
    /// that are still there stay.
    async fn expect_bytes(&self, file: &File) -> Result<(), Problem> {
        let FileLocation::Stored(path) = &file.location else {
            return Ok(());
        };
        match self.store.size(path).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(storage_unavailable(PortError::unavailable(
                "files",
                "the file was swept before its row was written",
            ))),
            Err(error) => Err(storage_unavailable(error)),
        }
    }
}

async fn fill(
    draft: &mut Draft<'_>,
    transfer: &mut Transfer,
    mut body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
) -> Result<(), Problem> {
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        transfer.moved(chunk.len());
        draft.add(chunk).await?;
        // If sender and store are both fast, no other await in this loop yields to other tasks.
        tokio::task::consume_budget().await;
    }
    Ok(())
}

fn mismatch() -> Problem {
    let text = "The bytes that arrived don't have the SHA-256 that the digest header names.";
    Problem::new(Code::ChecksumMismatch, text)
}
