//! Uploads that can be resumed: their creation, state and end.
//!
//! Each attempt to append writes a part of its own in the store ([`append`]). Then it replaces the row of
//! the upload, which lists the parts: compare-and-set lets one of several concurrent attempts win, on
//! whichever server, and the list is the offset. A part that a failed attempt has left is in no list, so
//! the sweeper removes it. When all bytes have arrived, the row says so, the row of the file is written,
//! and the row of the upload is removed, in this order ([`finish`]).

mod append;
mod checksum;
mod concatenate;
mod finish;
mod join;
mod once;
mod removal;
mod sha256_state;
#[cfg(test)]
mod tests;

pub use append::Append;
pub use checksum::Checksum;

use super::draft::too_large;
use super::{FileName, Files, MediaType};
use crate::domain::{
    Code, File, FileId, Problem, Upload, UploadBytes, UploadState, UserName, now_ms,
};
use crate::ports::problem::directory_unavailable;

/// The properties of an upload that are known before its bytes arrive.
#[derive(Clone, Debug)]
pub struct NewUpload {
    pub name: FileName,
    /// The type that the sender gave.
    pub media_type: Option<MediaType>,
    /// What the sender said of the file, as it wrote it.
    pub metadata: String,
    /// The size of the whole file in bytes, if the sender knows it yet.
    pub length: Option<u64>,
    /// Whether it becomes a part of another file instead of a file.
    pub is_partial: bool,
    /// When it is removed, in milliseconds since 1970, if nothing arrives; unless given, after the
    /// configured time.
    pub expires_at_ms: Option<u64>,
}

/// How far an upload has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    pub id: FileId,
    /// The bytes that are stored.
    pub offset: u64,
    /// The size of the whole file in bytes, if it is known.
    pub length: Option<u64>,
    pub metadata: String,
    pub is_partial: bool,
    /// When the upload is removed unless more arrives, in milliseconds since 1970; `None` for a file.
    pub expires_at_ms: Option<u64>,
}

/// What an upload's id leads to.
enum Resumable {
    Upload(Box<Upload>),
    /// The upload was completed.
    File(Box<File>),
}

impl Files {
    /// Creates an upload under a random id. One of length 0 is complete at once.
    ///
    /// Errors: `file_too_large`, `directory_unavailable`.
    pub async fn create_upload(
        &self,
        uploader: &UserName,
        new: NewUpload,
    ) -> Result<UploadStatus, Problem> {
        if new
            .length
            .is_some_and(|bytes| bytes > self.settings.max_bytes)
        {
            return Err(too_large(self.settings.max_bytes));
        }
        let now_ms = now_ms();
        let upload = Upload {
            id: FileId::random(),
            uploader: uploader.clone(),
            name: new.name.into_string(),
            media_type: new.media_type.map(MediaType::into_string),
            metadata: new.metadata,
            length: new.length,
            is_partial: new.is_partial,
            bytes: UploadBytes::Parts(Vec::new()),
            sha256_state: sha256_state::initial(),
            created_at_ms: now_ms,
            expires_at_ms: new.expires_at_ms.unwrap_or(self.expiry(now_ms)),
            state: state_of(0, new.length, now_ms),
        };
        let created = self.upload_rows.create(&upload).await;
        if !created.map_err(directory_unavailable)? {
            return Err(Problem::internal("a random id has a row"));
        }
        metrics::counter!("lakechat_resumable_uploads_total", "result" => "created").increment(1);
        self.finish(&upload).await?;
        Ok(UploadStatus::of(&upload))
    }

    /// How far an upload of the user has come. If its row says that all bytes have arrived, its file has
    /// a row when this returns.
    ///
    /// Errors: `upload_not_found`, `forbidden`, `upload_expired`, `directory_unavailable`,
    /// `storage_unavailable`.
    pub async fn upload_status(
        &self,
        user: &UserName,
        id: FileId,
    ) -> Result<UploadStatus, Problem> {
        match self.resumable(user, id).await? {
            Resumable::File(file) => Ok(UploadStatus::of_file(&file)),
            Resumable::Upload(upload) => {
                self.finish(&upload).await?;
                Ok(UploadStatus::of(&upload))
            }
        }
    }

    /// What the id of an upload of the user leads to.
    async fn resumable(&self, user: &UserName, id: FileId) -> Result<Resumable, Problem> {
        let upload = self.upload_rows.find(id).await;
        let Some(upload) = upload.map_err(directory_unavailable)? else {
            let file = self.rows.find(id).await.map_err(directory_unavailable)?;
            let file = file.ok_or_else(not_found)?;
            expect_uploader(user, &file.uploader)?;
            return Ok(Resumable::File(Box::new(file)));
        };
        expect_uploader(user, &upload.uploader)?;
        match upload.state {
            UploadState::Removed { .. } => Err(expired()),
            UploadState::Open if upload.expires_at_ms <= now_ms() => Err(expired()),
            UploadState::Open | UploadState::Complete { .. } => {
                Ok(Resumable::Upload(Box::new(upload)))
            }
        }
    }

    fn expiry(&self, now_ms: u64) -> u64 {
        now_ms + self.settings.upload_expiry.as_millis() as u64
    }
}

impl UploadStatus {
    fn of(upload: &Upload) -> UploadStatus {
        UploadStatus {
            id: upload.id,
            offset: upload.offset(),
            length: upload.length,
            metadata: upload.metadata.clone(),
            is_partial: upload.is_partial,
            expires_at_ms: Some(upload.expires_at_ms)
                .filter(|_| upload.is_partial || upload.state == UploadState::Open),
        }
    }

    fn of_file(file: &File) -> UploadStatus {
        UploadStatus {
            id: file.id,
            offset: file.size,
            length: Some(file.size),
            metadata: String::new(),
            is_partial: false,
            expires_at_ms: None,
        }
    }
}

/// The state of an upload of which so many bytes have arrived.
fn state_of(offset: u64, length: Option<u64>, now_ms: u64) -> UploadState {
    if length == Some(offset) {
        UploadState::Complete { at_ms: now_ms }
    } else {
        UploadState::Open
    }
}

pub(super) fn expect_uploader(user: &UserName, uploader: &UserName) -> Result<(), Problem> {
    if user == uploader {
        return Ok(());
    }
    let text = "Only its uploader may do that with a file or an upload.";
    Err(Problem::new(Code::Forbidden, text))
}

fn not_found() -> Problem {
    let text = "There is no upload with this id; create one with POST /uploads.";
    Problem::new(Code::UploadNotFound, text)
}

fn expired() -> Problem {
    let text = "The upload has expired or was removed; create another one with POST /uploads.";
    Problem::new(Code::UploadExpired, text)
}
