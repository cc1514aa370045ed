//! Makes a file of an upload whose bytes have all arrived.

use bytes::Bytes;
use futures_util::TryStreamExt;
use sha2::Digest;
use tracing::warn;

use super::sha256_state;
use crate::domain::{File, FileLocation, Problem, Upload, UploadBytes, UploadState};
use crate::files::draft::HEAD_BYTES;
use crate::files::{Files, MediaType};
use crate::ports::problem::{directory_unavailable, stored_file_problem};

impl Files {
    /// Writes the row of the file of a complete upload, and removes the row of the upload. Does nothing
    /// for other uploads. Several callers may do it at once, and again after a failure: all write the
    /// same row.
    pub(in crate::files) async fn finish(&self, upload: &Upload) -> Result<(), Problem> {
        let UploadState::Complete { at_ms } = upload.state else {
            return Ok(());
        };
        if upload.is_partial {
            return Ok(());
        }
        let file = self.file_of(upload, at_ms).await?;
        let put = self.rows.put(&file).await;
        put.map_err(directory_unavailable)?;
        // If this fails, the sweeper does it later.
        if let Err(error) = self.upload_rows.remove(upload.id).await {
            warn!(file.id = %upload.id, %error, "the row of a complete upload is left to the sweeper");
        }
        metrics::counter!("lakechat_resumable_uploads_total", "result" => "complete").increment(1);
        Ok(())
    }

    async fn file_of(&self, upload: &Upload, created_at_ms: u64) -> Result<File, Problem> {
        let sum = sha256_state::read(upload).map_err(directory_unavailable)?;
        let given = upload.media_type.as_deref();
        let given = given.and_then(|given| MediaType::parse(given).ok());
        let mut file = File {
            id: upload.id,
            name: upload.name.clone(),
            size: upload.offset(),
            sha256: sum.finalize().into(),
            media_type: String::new(),
            uploader: upload.uploader.clone(),
            created_at_ms,
            location: location(upload),
        };
        let head = match &given {
            Some(given) if !given.says_nothing() => Vec::new(),
            _ => self.head(&file).await?,
        };
        file.media_type = MediaType::decide(given, &head).into_string();
        Ok(file)
    }

    /// The first bytes of a file, by which its type is guessed.
    async fn head(&self, file: &File) -> Result<Vec<u8>, Problem> {
        let range = 0..file.size.min(HEAD_BYTES as u64);
        let head = async {
            let chunks: Vec<_> = self.read(file, range).await?.try_collect().await?;
            Ok(chunks.concat())
        };
        head.await.map_err(stored_file_problem)
    }
}

fn location(upload: &Upload) -> FileLocation {
    match &upload.bytes {
        UploadBytes::Inline(bytes) => FileLocation::Inline(bytes.clone()),
        UploadBytes::Parts(parts) => match &parts[..] {
            [] => FileLocation::Inline(Bytes::new()),
            [part] => FileLocation::Stored(part.path.clone()),
            parts => FileLocation::Parts(parts.to_vec()),
        },
    }
}
