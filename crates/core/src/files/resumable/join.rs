//! Joins the small parts of an upload whose client sends little at a time: lists of parts stay short, and
//! a file system isn't filled with small files.

use futures_util::TryStreamExt;

use super::append::overtaken;
use crate::domain::{FileLocation, FilePart, Problem, StoredName, Upload, UploadBytes};
use crate::files::{Files, parts};
use crate::ports::PortError;
use crate::ports::problem::{directory_unavailable, storage_unavailable};

/// So many parts at the end of the list become one, if they are not larger than a part may be, and none
/// of them is larger than the others together.
pub(super) const JOINED: usize = 16;

impl Files {
    /// The upload, with its last parts joined if they are small.
    ///
    /// Joined parts are joined again with others of their size. So a byte of equal chunks is copied a few
    /// times (two or three for 64 KiB), and a request of a few bytes never copies a part of many MiB.
    pub(super) async fn join_small_parts(&self, upload: Upload) -> Result<Upload, Problem> {
        let listed = upload.parts();
        let (kept, last) = listed.split_at(listed.len().saturating_sub(JOINED));
        let size: u64 = last.iter().map(|part| part.size).sum();
        let largest = last.iter().map(|part| part.size).max().unwrap_or(0);
        if last.len() < JOINED || size > self.settings.part_bytes || 2 * largest > size {
            return Ok(upload);
        }
        let path = self.copy_parts(&upload, last, size).await;
        let path = path.map_err(storage_unavailable)?;
        let part = FilePart {
            path: path.clone(),
            size,
        };
        let joined = Upload {
            bytes: UploadBytes::Parts([kept, &[part]].concat()),
            ..upload.clone()
        };
        let replaced = self.upload_rows.replace(&upload, &joined).await;
        if !replaced.map_err(directory_unavailable)? {
            self.remove_stored(&path).await;
            return Err(overtaken());
        }
        self.expect_part(&joined, &path).await?;
        for part in last {
            self.remove_stored(&part.path).await;
        }
        Ok(joined)
    }

    /// Copies parts into a new one; its path. After an error the draft is dropped, and so removed.
    async fn copy_parts(
        &self,
        upload: &Upload,
        last: &[FilePart],
        size: u64,
    ) -> Result<String, PortError> {
        let location = FileLocation::Parts(last.to_vec());
        let mut bytes = parts::read(&self.store, &location, size, 0..size).await?;
        let name = StoredName::part_of(upload.id, rand::random());
        let mut writer = self.store.create(name).await?;
        while let Some(chunk) = bytes.try_next().await? {
            writer.write(chunk).await?;
        }
        writer.commit().await
    }
}
