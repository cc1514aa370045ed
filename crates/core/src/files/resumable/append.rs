//! Appends the bytes of a request to an upload.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tracing::{Instrument, warn};

use super::checksum::{Checksum, ChecksumCheck};
use super::once::size_mismatch;
use super::{Resumable, UploadStatus, sha256_state, state_of};
use crate::domain::{
    Code, FileId, FilePart, Problem, StoredName, Upload, UploadBytes, UserName, now_ms,
};
use crate::files::Files;
use crate::files::draft::{Draft, too_large};
use crate::files::transfer::Transfer;
use crate::ports::problem::{directory_unavailable, storage_unavailable};
use crate::ports::{Caller, PortError};

/// When a client may continue on another server, or on this one after its restart.
const SHUTDOWN_RETRY: Duration = Duration::from_secs(1);

/// How many small parts an upload may have: those of requests of changing sizes are not joined. The row
/// lists all parts, and each request rewrites it.
const MOST_SMALL_PARTS: u64 = 1_000;

/// What a request appends.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// How many bytes the client takes to be stored.
    pub offset: u64,
    /// The size of the whole file in bytes, from a client that did not know it before.
    pub length: Option<u64>,
    /// How many bytes the request has, if it says so.
    pub announced_bytes: Option<u64>,
    /// If the bytes have another sum, none of them is stored.
    pub checksum: Option<Checksum>,
    /// Whether the request has to bring all bytes of the upload: fewer are not stored.
    pub is_whole: bool,
}

/// Why no further bytes go into a part.
enum PartEnd {
    /// It is large enough. The next bytes go into another one.
    Full,
    /// The body has ended.
    Body,
    /// The body broke off. What arrived before can be kept.
    Cut(Problem),
    /// The bytes of the part can't be kept.
    Refused(Problem),
}

impl Files {
    /// Appends a body to an upload of the user. Runs to its end even if the future is dropped: the
    /// client may have left, and what it has sent is kept.
    ///
    /// Reads `body` to its end and returns its errors unchanged. What arrived before such an error is
    /// stored, unless a checksum was declared. At most [`part_bytes`](crate::files::FilesSettings) are
    /// received before they are stored.
    ///
    /// Errors: those of [`upload_status`](Files::upload_status), `offset_conflict`, `field_invalid`,
    /// `file_too_large`, `too_many_parts`, `checksum_mismatch`, `rate_limited`, `shutting_down`, `storage_unavailable`.
    pub async fn append(
        self: &Arc<Self>,
        user: &UserName,
        id: FileId,
        append: Append,
        body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send + 'static,
    ) -> Result<UploadStatus, Problem> {
        let (files, user) = (Arc::clone(self), user.clone());
        let caller = Caller::user(user.clone());
        let span = tracing::info_span!("append", file.id = %id);
        let appending = async move { files.append_body(&user, id, append, body).await };
        let task = self.appends.spawn(caller.scope(appending.instrument(span)));
        task.await
            .unwrap_or_else(|error| Err(Problem::internal(error)))
    }

    async fn append_body(
        &self,
        user: &UserName,
        id: FileId,
        append: Append,
        mut body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
    ) -> Result<UploadStatus, Problem> {
        let upload = match self.resumable(user, id).await? {
            Resumable::Upload(upload) => *upload,
            Resumable::File(file) if append.offset == file.size => {
                while let Some(chunk) = body.next().await {
                    expect_room(chunk?.len() as u64, 0, file.size)?;
                }
                return Ok(UploadStatus::of_file(&file));
            }
            Resumable::File(file) => return Err(offset_conflict(file.size)),
        };
        if append.offset != upload.offset() {
            return Err(offset_conflict(upload.offset()));
        }
        let full_parts = upload.offset() / self.settings.part_bytes;
        if upload.parts().len() as u64 >= full_parts + MOST_SMALL_PARTS {
            return Err(too_many_parts(self.settings.part_bytes));
        }
        let length = self.length_of(&upload, append.length)?;
        let end = length.unwrap_or(self.settings.max_bytes);
        let room = end - append.offset;
        expect_room(append.announced_bytes.unwrap_or(0), room, end)?;
        let slot = self.transfer_slot(user)?;
        let mut transfer = Transfer::upload(id, user.clone(), slot);
        let upload = self.join_small_parts(upload).await?;
        let appending = Appending {
            files: self,
            transfer: &mut transfer,
            upload,
            length,
            end,
            is_divisible: append.checksum.is_none() && !append.is_whole,
            is_whole: append.is_whole,
            check: ChecksumCheck::new(append.checksum),
        };
        let appended = appending.run(body).await;
        match &appended {
            Ok(_) => transfer.done(),
            Err(problem) => transfer.end(problem.code.as_str()),
        }
        let upload = appended?;
        self.finish(&upload).await?;
        Ok(UploadStatus::of(&upload))
    }

    /// The length of an upload, which a client may say once.
    fn length_of(&self, upload: &Upload, said: Option<u64>) -> Result<Option<u64>, Problem> {
        let max_bytes = self.settings.max_bytes;
        match (upload.length, said) {
            (known, None) => Ok(known),
            (Some(known), Some(said)) if known != said => Err(length_invalid(known)),
            (_, Some(said)) if said < upload.offset() => Err(length_invalid(upload.offset())),
            (_, Some(said)) if said > max_bytes => Err(too_large(max_bytes)),
            (_, Some(said)) => Ok(Some(said)),
        }
    }
}

/// A request that appends to an upload.
struct Appending<'a> {
    files: &'a Files,
    transfer: &'a mut Transfer,
    /// As its row is.
    upload: Upload,
    /// As it will be in the row.
    length: Option<u64>,
    /// The most bytes that the upload may have.
    end: u64,
    /// Whether a part of the body may be stored without the rest.
    is_divisible: bool,
    /// Whether the body has to have all bytes of the upload.
    is_whole: bool,
    check: ChecksumCheck,
}

impl Appending<'_> {
    /// Stores the body, part by part. Returns the upload as its row is then.
    async fn run(
        mut self,
        mut body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
    ) -> Result<Upload, Problem> {
        loop {
            let files = self.files;
            let name = StoredName::part_of(self.upload.id, rand::random());
            let sum = sha256_state::read(&self.upload).map_err(directory_unavailable)?;
            let mut draft = Draft::continuing(name, &*files.store, files.settings, sum);
            match self.receive(&mut draft, &mut body).await {
                PartEnd::Full => self.keep(draft).await?,
                PartEnd::Body if self.is_whole && draft.size() != self.end => {
                    draft.abort().await;
                    return Err(size_mismatch(self.end));
                }
                PartEnd::Body => {
                    if !std::mem::replace(&mut self.check, ChecksumCheck::None).matches() {
                        draft.abort().await;
                        return Err(checksum_mismatch());
                    }
                    self.keep(draft).await?;
                    return Ok(self.upload);
                }
                PartEnd::Cut(problem) if !self.is_divisible => {
                    draft.abort().await;
                    return Err(problem);
                }
                PartEnd::Cut(problem) => {
                    if let Err(error) = self.keep(draft).await {
                        warn!(
                            code = error.code.as_str(),
                            "what arrived before a cut is not kept"
                        );
                    }
                    return Err(problem);
                }
                PartEnd::Refused(problem) => {
                    draft.abort().await;
                    return Err(problem);
                }
            }
        }
    }

    /// Receives the bytes of one part.
    async fn receive(
        &mut self,
        draft: &mut Draft<'_>,
        body: &mut (impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send),
    ) -> PartEnd {
        loop {
            let chunk = tokio::select! {
                // Loses nothing: a chunk that has not arrived is sent again.
                () = self.files.closing.cancelled() => return PartEnd::Cut(shutting_down()),
                chunk = body.next() => chunk,
            };
            let chunk = match chunk {
                None => return PartEnd::Body,
                Some(Err(problem)) => return PartEnd::Cut(problem),
                Some(Ok(chunk)) => chunk,
            };
            let room = self.end - self.upload.offset() - draft.size();
            if let Err(problem) = expect_room(chunk.len() as u64, room, self.end) {
                return PartEnd::Refused(problem);
            }
            self.transfer.moved(chunk.len());
            self.check.update(&chunk);
            if let Err(problem) = draft.add(chunk).await {
                return PartEnd::Refused(problem);
            }
            if draft.size() >= self.files.settings.part_bytes && self.is_divisible {
                return PartEnd::Full;
            }
            // If sender and store are both fast, no other await in this loop yields to other tasks.
            tokio::task::consume_budget().await;
        }
    }

    /// Makes a part durable and appends it to the list in the row.
    async fn keep(&mut self, draft: Draft<'_>) -> Result<(), Problem> {
        let files = self.files;
        let old = &self.upload;
        let (size, sha256_state) = (draft.size(), sha256_state::write(draft.sum()));
        if size == 0 && self.length == old.length {
            draft.abort().await;
            return Ok(());
        }
        let (bytes, path) = if size == 0 {
            draft.abort().await;
            (old.bytes.clone(), None)
        } else if self.length == Some(size) && !old.is_partial {
            stored_whole(draft).await?
        } else {
            stored_behind(old.parts(), draft).await?
        };
        let now_ms = now_ms();
        let new = Upload {
            length: self.length,
            bytes,
            sha256_state,
            expires_at_ms: files.expiry(now_ms),
            state: state_of(old.offset() + size, self.length, now_ms),
            ..old.clone()
        };
        // After an error the row may list the part, so it is left to the sweeper.
        let replaced = files.upload_rows.replace(old, &new).await;
        if !replaced.map_err(directory_unavailable)? {
            if let Some(path) = path {
                files.remove_stored(&path).await;
            }
            return Err(overtaken());
        }
        self.upload = new;
        match path {
            Some(path) => files.expect_part(&self.upload, &path).await,
            None => Ok(()),
        }
    }
}

/// All bytes of a file: in the row if they are few.
async fn stored_whole(draft: Draft<'_>) -> Result<(UploadBytes, Option<String>), Problem> {
    match draft.into_small() {
        Ok(bytes) => Ok((UploadBytes::Inline(bytes), None)),
        Err(draft) => stored_behind(&[], *draft).await,
    }
}

/// The bytes as another part, with its path.
async fn stored_behind(
    parts: &[FilePart],
    draft: Draft<'_>,
) -> Result<(UploadBytes, Option<String>), Problem> {
    let size = draft.size();
    let path = draft.commit_to_store().await?;
    let part = FilePart {
        path: path.clone(),
        size,
    };
    Ok((UploadBytes::Parts([parts, &[part]].concat()), Some(path)))
}

impl Files {
    /// Ends the upload if a part is gone: if this process stood still for an hour between its commit and
    /// the row, the sweeper of another server has removed it. It removes nothing once it can see the row.
    pub(super) async fn expect_part(&self, upload: &Upload, path: &str) -> Result<(), Problem> {
        if self
            .store
            .size(path)
            .await
            .map_err(storage_unavailable)?
            .is_some()
        {
            return Ok(());
        }
        self.discard_upload(upload)
            .await
            .map_err(directory_unavailable)?;
        let reason = "a part was swept before the row of its upload listed it";
        Err(storage_unavailable(PortError::unavailable("files", reason)))
    }

    /// Ends the requests that append, at a shutdown. What they have received is stored.
    pub async fn close_uploads(&self) {
        self.closing.cancel();
        self.appends.close();
        self.appends.wait().await;
    }
}

/// Refuses more bytes than there is room for, up to the end of the upload.
fn expect_room(bytes: u64, room: u64, end: u64) -> Result<(), Problem> {
    if bytes <= room {
        return Ok(());
    }
    let text =
        format!("The upload may have at most {end} bytes, and the request would exceed them.");
    Err(Problem::new(Code::FileTooLarge, text).limit(end))
}

fn offset_conflict(offset: u64) -> Problem {
    let text = format!("The upload has {offset} bytes; continue there.");
    Problem::new(Code::OffsetConflict, text)
        .field("upload-offset")
        .limit(offset)
}

pub(super) fn overtaken() -> Problem {
    let text = "Another request has changed the upload meanwhile; ask for its offset with HEAD.";
    Problem::new(Code::OffsetConflict, text).field("upload-offset")
}

fn too_many_parts(part_bytes: u64) -> Problem {
    let text = format!(
        "The upload has arrived in {MOST_SMALL_PARTS} requests of less than {part_bytes} bytes, and can't \
         be continued; begin another one with larger requests."
    );
    Problem::new(Code::TooManyParts, text).limit(MOST_SMALL_PARTS)
}

fn length_invalid(limit: u64) -> Problem {
    let text = "Upload-Length must not change, nor be smaller than the offset.";
    Problem::new(Code::FieldInvalid, text)
        .field("upload-length")
        .limit(limit)
}

fn checksum_mismatch() -> Problem {
    let text = "The bytes that arrived don't have the checksum that Upload-Checksum names; send them \
                again.";
    Problem::new(Code::ChecksumMismatch, text).field("upload-checksum")
}

fn shutting_down() -> Problem {
    let text = "This server is shutting down; continue the upload on another one.";
    Problem::new(Code::ShuttingDown, text).retry_after_ms(SHUTDOWN_RETRY.as_millis() as u64)
}
