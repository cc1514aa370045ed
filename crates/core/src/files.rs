//! Files: upload, lookup, download and cleanup, independent of HTTP and of the back ends.
//!
//! An upload writes the bytes to the store first and the row to the directory last. Therefore a
//! file with a row is complete. The sweeper removes what an upload that stopped in between has
//! left.

mod audit;
mod download;
mod download_link;
mod draft;
mod media_type;
mod name;
mod sweep;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod transfer;
mod upload;

use std::sync::Arc;

pub use audit::{FilesReport, audit_files};
pub use download_link::{DownloadLink, LinkSigner, signature_invalid};
pub use media_type::MediaType;
pub use name::FileName;
pub use upload::NewFile;

use crate::domain::{Code, File, FileId, Problem, UserName};
use crate::limits::{TransferLimit, TransferSlot};
use crate::ports::problem::directory_unavailable;
use crate::ports::{FileRows, FileStore};

#[derive(Clone, Copy, Debug)]
pub struct FilesSettings {
    /// The size of the largest file that is accepted, in bytes.
    pub max_bytes: u64,
    /// The size of the largest file that is stored in a cell of its row, in bytes. Larger files go
    /// to the file store.
    pub inline_bytes: usize,
    /// Transfers that a user may have under way; 0: no limit.
    pub transfers_per_user: usize,
    /// Transfers of all users that may be under way; 0: no limit.
    pub transfers: usize,
}

pub struct Files {
    rows: Arc<dyn FileRows>,
    store: Arc<dyn FileStore>,
    settings: FilesSettings,
    transfers: TransferLimit,
}

impl Files {
    pub fn new(
        rows: Arc<dyn FileRows>,
        store: Arc<dyn FileStore>,
        settings: FilesSettings,
    ) -> Files {
        Files {
            rows,
            store,
            settings,
            transfers: TransferLimit::new(settings.transfers_per_user, settings.transfers),
        }
    }

    /// A place among the transfers under way; `rate_limited` if there is none. Uploads and downloads
    /// take theirs themselves.
    pub fn transfer_slot(&self, user: &UserName) -> Result<TransferSlot, Problem> {
        self.transfers.take(user)
    }

    /// The file with this id; `file_not_found` if there is none.
    pub async fn find(&self, id: FileId) -> Result<File, Problem> {
        let found = self.rows.find(id).await.map_err(directory_unavailable)?;
        found.ok_or_else(|| Problem::new(Code::FileNotFound, "There is no file with this id."))
    }
}
