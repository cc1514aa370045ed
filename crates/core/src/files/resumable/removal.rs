//! The end of uploads without a file, and the removal of files.
//!
//! Both leave a row of an upload that says so, and lists what is to be removed from the store. So a
//! server that dies in between leaves the rest to the sweeper of any server.

use tracing::warn;

use super::{Resumable, expect_uploader, sha256_state};
use crate::domain::{
    Code, File, FileId, FileLocation, FilePart, Problem, Upload, UploadBytes, UploadState,
    UserName, now_ms,
};
use crate::files::Files;
use crate::ports::PortError;
use crate::ports::problem::directory_unavailable;

/// How often a removal is tried while other requests change the upload.
const TRIES: usize = 5;

impl Files {
    /// Ends an upload of the user, or removes the file that it has become.
    ///
    /// Errors: those of [`upload_status`](Files::upload_status), and `offset_conflict` if requests keep
    /// changing the upload.
    pub async fn end_upload(&self, user: &UserName, id: FileId) -> Result<(), Problem> {
        for _ in 0..TRIES {
            match self.resumable(user, id).await? {
                Resumable::File(file) => return self.remove_file(&file).await,
                Resumable::Upload(upload) => {
                    let discarded = self.discard_upload(&upload).await;
                    if discarded.map_err(directory_unavailable)? {
                        return Ok(());
                    }
                }
            }
        }
        let text = "Other requests are changing the upload; try again.";
        Err(Problem::new(Code::OffsetConflict, text))
    }

    /// Removes a file of the user. Messages keep naming it, and nobody can download it any more.
    ///
    /// Errors: `file_not_found`, `forbidden`, `directory_unavailable`.
    pub async fn delete(&self, user: &UserName, id: FileId) -> Result<(), Problem> {
        let file = self.find(id).await?;
        expect_uploader(user, &file.uploader)?;
        self.remove_file(&file).await
    }

    async fn remove_file(&self, file: &File) -> Result<(), Problem> {
        let removed = removed_file(file);
        let created = self.upload_rows.create(&removed).await;
        if created.map_err(directory_unavailable)? {
            let gone = self.rows.remove(file.id).await;
            gone.map_err(directory_unavailable)?;
            self.remove_parts(&removed).await;
            return Ok(());
        }
        // The row of the upload that became the file is still there, or an earlier attempt wrote one.
        let upload = self.upload_rows.find(file.id).await;
        if let Some(upload) = upload.map_err(directory_unavailable)? {
            let discarded = self.discard_upload(&upload).await;
            discarded.map_err(directory_unavailable)?;
        }
        let gone = self.rows.remove(file.id).await;
        gone.map_err(directory_unavailable)
    }

    /// Ends an upload, unless its row is another one than the given. Returns whether it has ended.
    pub(in crate::files) async fn discard_upload(
        &self,
        upload: &Upload,
    ) -> Result<bool, PortError> {
        let removed = Upload {
            bytes: UploadBytes::Parts(upload.parts().to_vec()),
            state: UploadState::Removed { at_ms: now_ms() },
            ..upload.clone()
        };
        if !self.upload_rows.replace(upload, &removed).await? {
            return Ok(false);
        }
        if let UploadState::Complete { .. } = upload.state {
            self.rows.remove(upload.id).await?;
        }
        self.remove_parts(&removed).await;
        Ok(true)
    }

    /// Removes the parts of an upload that has ended. The sweeper removes what this can't.
    async fn remove_parts(&self, removed: &Upload) {
        for part in removed.parts() {
            self.remove_stored(&part.path).await;
        }
    }

    /// Removes what no row lists. If the store can't, the sweeper does it later.
    pub(super) async fn remove_stored(&self, path: &str) {
        if let Err(error) = self.store.remove(path).await {
            warn!(path, %error, "a part of a file that was removed is left to the sweeper");
        }
    }
}

/// The row that shows that a file was removed.
fn removed_file(file: &File) -> Upload {
    let parts = match &file.location {
        FileLocation::Inline(_) => Vec::new(),
        FileLocation::Stored(path) => vec![FilePart {
            path: path.clone(),
            size: file.size,
        }],
        FileLocation::Parts(parts) => parts.clone(),
    };
    Upload {
        id: file.id,
        uploader: file.uploader.clone(),
        name: file.name.clone(),
        media_type: None,
        metadata: String::new(),
        length: Some(file.size),
        is_partial: false,
        bytes: UploadBytes::Parts(parts),
        sha256_state: sha256_state::initial(),
        created_at_ms: file.created_at_ms,
        expires_at_ms: file.created_at_ms,
        state: UploadState::Removed { at_ms: now_ms() },
    }
}
