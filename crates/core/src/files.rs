//! Files: upload, lookup, download and cleanup, independent of HTTP and of the back ends.
//!
//! An upload writes the bytes to the store first and the row to the directory last. Therefore a
//! file with a row is complete. The sweeper removes what an upload that stopped in between has
//! left. A file that arrives in several requests has a row of an upload until then ([`resumable`]).

mod audit;
mod download;
mod download_link;
mod draft;
mod media_type;
mod name;
mod parts;
mod resumable;
mod sweep;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod transfer;
mod upload;
mod upload_link;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use audit::{FilesReport, audit_files};
pub use download_link::{DownloadLink, LinkSigner, signature_invalid};
pub use media_type::MediaType;
pub use name::FileName;
pub use resumable::{Append, Checksum, NewUpload, UploadStatus};
pub use upload::NewFile;
pub use upload_link::UploadLink;

use crate::domain::{Code, File, FileId, Problem, UserName};
use crate::limits::{TransferLimit, TransferSlot};
use crate::ports::problem::directory_unavailable;
use crate::ports::{FileRows, FileStore, UploadRows};

#[derive(Clone, Copy, Debug)]
pub struct FilesSettings {
    /// The size of the largest file that is accepted, in bytes.
    pub max_bytes: u64,
    /// The size of the largest file that is stored in a cell of its row, in bytes. Larger files go
    /// to the file store.
    pub inline_bytes: usize,
    /// How many bytes of a resumable upload are received before they are stored as a part. A client
    /// sends at most as many again.
    pub part_bytes: u64,
    /// How long a resumable upload is kept while nothing arrives.
    pub upload_expiry: Duration,
    /// Transfers that a user may have under way; 0: no limit.
    pub transfers_per_user: usize,
    /// Transfers of all users that may be under way; 0: no limit.
    pub transfers: usize,
}

pub struct Files {
    rows: Arc<dyn FileRows>,
    upload_rows: Arc<dyn UploadRows>,
    store: Arc<dyn FileStore>,
    settings: FilesSettings,
    transfers: TransferLimit,
    /// Requests that append to uploads. They outlive their connections.
    appends: TaskTracker,
    /// Ends them.
    closing: CancellationToken,
}

impl Files {
    pub fn new(
        rows: Arc<dyn FileRows>,
        upload_rows: Arc<dyn UploadRows>,
        store: Arc<dyn FileStore>,
        settings: FilesSettings,
    ) -> Files {
        Files {
            rows,
            upload_rows,
            store,
            settings,
            transfers: TransferLimit::new(settings.transfers_per_user, settings.transfers),
            appends: TaskTracker::new(),
            closing: CancellationToken::new(),
        }
    }

    /// A place among the transfers under way; `rate_limited` if there is none. Uploads and downloads
    /// take theirs themselves.
    pub fn transfer_slot(&self, user: &UserName) -> Result<TransferSlot, Problem> {
        self.transfers.take(user)
    }

    /// The size of the largest file that is accepted, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.settings.max_bytes
    }

    /// The file with this id; `file_not_found` if there is none.
    pub async fn find(&self, id: FileId) -> Result<File, Problem> {
        let found = self.rows.find(id).await.map_err(directory_unavailable)?;
        found.ok_or_else(|| Problem::new(Code::FileNotFound, "There is no file with this id."))
    }
}
