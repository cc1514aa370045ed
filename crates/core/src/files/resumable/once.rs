//! Uploads in one request, to a signed URL.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::{Append, Resumable};
use crate::domain::{Code, File, FileId, Problem, UserName};
use crate::files::Files;

impl Files {
    /// Stores the bytes of an upload, all of them or none. Only the first request that brings all
    /// bytes does so.
    ///
    /// Errors: those of [`append`](Files::append), `already_used`, `size_mismatch`.
    pub async fn upload_once(
        self: &Arc<Self>,
        user: &UserName,
        id: FileId,
        announced_bytes: Option<u64>,
        body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send + 'static,
    ) -> Result<File, Problem> {
        let Resumable::Upload(upload) = self.resumable(user, id).await? else {
            return Err(already_used());
        };
        let size = upload.length.unwrap_or_default();
        if announced_bytes.is_some_and(|bytes| bytes != size) {
            return Err(size_mismatch(size));
        }
        let append = Append {
            announced_bytes,
            is_whole: true,
            ..Append::default()
        };
        match self.append(user, id, append, body).await {
            Ok(_) => self.find(id).await,
            Err(problem) if problem.code == Code::OffsetConflict => Err(already_used()),
            Err(problem) if problem.code == Code::FileTooLarge => Err(size_mismatch(size)),
            Err(problem) => Err(problem),
        }
    }
}

pub(super) fn size_mismatch(size: u64) -> Problem {
    let text = format!("The URL is for a file of exactly {size} bytes.");
    Problem::new(Code::SizeMismatch, text).limit(size)
}

fn already_used() -> Problem {
    let text = "A file was uploaded to this URL already; ask for another URL.";
    Problem::new(Code::AlreadyUsed, text)
}
