//! Makes a file of several uploads.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::{NewUpload, Resumable};
use crate::domain::{
    Code, File, FileId, FileLocation, Problem, Upload, UploadBytes, UploadState, UserName,
};
use crate::files::{Files, NewFile, parts};
use crate::ports::FileStore;
use crate::ports::problem::stored_file_problem;

/// The most uploads that one file may be made of.
const MOST: usize = 1_000;

impl Files {
    /// Makes a file of complete partial uploads of the user, in the given order. Their bytes are copied,
    /// so this takes as long as an upload of the file within the server. The partial uploads stay until
    /// they expire.
    ///
    /// Errors: those of [`upload`](Files::upload) and of [`upload_status`](Files::upload_status), and
    /// `field_invalid` for an upload that is not partial or not complete.
    pub async fn concatenate(
        &self,
        user: &UserName,
        new: NewUpload,
        ids: &[FileId],
    ) -> Result<File, Problem> {
        if ids.is_empty() || ids.len() > MOST {
            let text = format!("Upload-Concat names 1 to {MOST} partial uploads.");
            return Err(invalid(text).limit(MOST as u64));
        }
        let mut uploads = Vec::with_capacity(ids.len());
        for id in ids {
            uploads.push(self.complete_partial(user, *id).await?);
        }
        let new_file = NewFile {
            name: new.name,
            media_type: new.media_type,
            min_bytes: Some(uploads.iter().map(Upload::offset).sum()),
        };
        let bytes = bytes_of(Arc::clone(&self.store), uploads);
        self.upload(user, new_file, bytes, |_| true).await
    }

    async fn complete_partial(&self, user: &UserName, id: FileId) -> Result<Upload, Problem> {
        match self.resumable(user, id).await? {
            Resumable::Upload(upload) if !upload.is_partial => {
                Err(invalid(format!("Upload {id} is not partial.")))
            }
            Resumable::Upload(upload) => match upload.state {
                UploadState::Complete { .. } => Ok(*upload),
                UploadState::Open | UploadState::Removed { .. } => {
                    Err(invalid(format!("Upload {id} is not complete.")))
                }
            },
            Resumable::File(_) => Err(invalid(format!("Upload {id} is not partial."))),
        }
    }
}

/// The bytes of uploads, one after the other.
fn bytes_of(
    store: Arc<dyn FileStore>,
    uploads: Vec<Upload>,
) -> BoxStream<'static, Result<Bytes, Problem>> {
    stream::iter(uploads)
        .then(move |upload| {
            let (store, size) = (Arc::clone(&store), upload.offset());
            async move { parts::read(&store, &location(upload), size, 0..size).await }
        })
        .try_flatten()
        .map_err(stored_file_problem)
        .boxed()
}

fn location(upload: Upload) -> FileLocation {
    match upload.bytes {
        UploadBytes::Inline(bytes) => FileLocation::Inline(bytes),
        UploadBytes::Parts(parts) => FileLocation::Parts(parts),
    }
}

fn invalid(text: String) -> Problem {
    Problem::new(Code::FieldInvalid, text).field("upload-concat")
}
