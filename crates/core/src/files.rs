//! Files: taken in, found again, handed out. Knows neither HTTP nor any back end.
//!
//! A file's bytes go to the store first and its row to the directory last, so what has a row is
//! whole. What a crash leaves between the two is the sweeper's.

mod download;
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

pub use media_type::MediaType;
pub use name::FileName;
pub use upload::NewFile;

use crate::domain::{Code, File, FileId, Problem};
use crate::ports::problem::directory_problem;
use crate::ports::{FileRows, FileStore};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The largest file that is taken.
    pub max_bytes: u64,
    /// The largest file that is kept as a cell of its row and not in the file store.
    pub inline_bytes: usize,
}

/// The files of this installation.
pub struct Files {
    rows: Arc<dyn FileRows>,
    store: Arc<dyn FileStore>,
    settings: Settings,
}

impl Files {
    pub fn new(rows: Arc<dyn FileRows>, store: Arc<dyn FileStore>, settings: Settings) -> Files {
        Files {
            rows,
            store,
            settings,
        }
    }

    /// The file of this id; `file_not_found` if there is none.
    pub async fn find(&self, id: FileId) -> Result<File, Problem> {
        let found = self.rows.find(id).await.map_err(directory_problem)?;
        found.ok_or_else(|| Problem::new(Code::FileNotFound, "There is no file with this id."))
    }
}
