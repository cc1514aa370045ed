//! Walking through folders, a thousand entries at a time.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use hdfs_native::HdfsError;
use hdfs_native::client::{FileStatus, ListStatusIterator};

use super::store::Site;
use crate::hdfs::exceptions::is_missing;
use crate::hdfs::layout::{name_of, path_of};
use crate::hdfs::run::age;
use lakechat_core::domain::FileId;
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::{Listing, StoredFile};

/// The entries of a folder; none where there is no folder.
pub(super) struct Folder(ListStatusIterator);

impl Folder {
    /// Asks nothing yet.
    pub fn open(site: &Site, path: String) -> Folder {
        Folder(site.name_node.client().list_status_iter(&path, false))
    }

    pub async fn next(&mut self, site: &Site) -> Result<Option<FileStatus>, PortError> {
        let asked = async {
            match self.0.next().await {
                Some(Err(HdfsError::FileNotFound(_))) | None => Ok(None),
                Some(Err(HdfsError::RPCError(class, _))) if is_missing(&class) => Ok(None),
                Some(entry) => entry.map(Some),
            }
        };
        site.name_node.answer("list", asked).await
    }
}

struct Walk {
    site: Arc<Site>,
    folders: Folder,
    files: Option<Folder>,
    now_ms: u64,
    age: Range<Duration>,
}

/// The files that were committed so long ago. HDFS stamps a file when it is closed, and that is
/// right before the rename.
pub(super) async fn list(site: Arc<Site>, age: Range<Duration>) -> Result<Listing, PortError> {
    let walk = Walk {
        now_ms: site.heartbeat.now_ms().await?,
        folders: Folder::open(&site, site.layout.files()),
        files: None,
        site,
        age,
    };
    let next = async |mut walk: Walk| Ok(walk.next().await?.map(|found| (found, walk)));
    Ok(Box::pin(stream::try_unfold(walk, next)))
}

impl Walk {
    async fn next(&mut self) -> Result<Option<StoredFile>, PortError> {
        loop {
            if let Some(files) = &mut self.files {
                match files.next(&self.site).await? {
                    Some(entry) => match self.stored(&entry) {
                        Some(found) => return Ok(Some(found)),
                        None => continue,
                    },
                    None => self.files = None,
                }
            }
            match self.folders.next(&self.site).await? {
                Some(folder) if folder.isdir => {
                    self.files = Some(Folder::open(&self.site, folder.path));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// The entry, if it is a file of this store and as old as is asked for.
    fn stored(&self, entry: &FileStatus) -> Option<StoredFile> {
        let id = FileId::parse(name_of(&entry.path))?;
        let path = path_of(id);
        let in_place = self.site.layout.place(&path).as_deref() == Some(&*entry.path);
        let is_asked_for = self
            .age
            .contains(&age(self.now_ms, entry.modification_time));
        (in_place && !entry.isdir && is_asked_for).then_some(StoredFile { id, path })
    }
}
