//! Walks through the folders of stored files.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{TryStreamExt, stream};

use super::client::{Entries, FileStatus};
use super::layout::name_of;
use super::run::age;
use super::site::Site;
use lakechat_core::domain::StoredName;
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::{FileListing, StoredFile};

struct Walk {
    site: Arc<Site>,
    folders: Entries,
    files: Option<Entries>,
    now_ms: u64,
    age: Range<Duration>,
}

/// The files of an age. A commit closes a file right before it renames it, and HDFS stamps a file when
/// it is closed: so the stamp is the time of the commit.
pub(super) async fn list(site: Arc<Site>, age: Range<Duration>) -> Result<FileListing, PortError> {
    let walk = Walk {
        now_ms: site.heartbeat.now_ms().await?,
        folders: site.client.list(&site.layout.files()),
        files: None,
        site,
        age,
    };
    let next = async |mut walk: Walk| Ok(walk.next().await?.map(|file| (file, walk)));
    Ok(Box::pin(stream::try_unfold(walk, next)))
}

impl Walk {
    async fn next(&mut self) -> Result<Option<StoredFile>, PortError> {
        loop {
            if let Some(files) = &mut self.files {
                match files.try_next().await? {
                    Some(entry) => match self.stored_file(&entry) {
                        Some(file) => return Ok(Some(file)),
                        None => continue,
                    },
                    None => self.files = None,
                }
            }
            match self.folders.try_next().await? {
                Some(folder) if folder.is_folder => {
                    self.files = Some(self.site.client.list(&folder.path));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// The entry, if it is a file of this store and of the age that was asked for.
    fn stored_file(&self, entry: &FileStatus) -> Option<StoredFile> {
        let name = StoredName::parse(name_of(&entry.path))?;
        let path = name.path();
        let in_place = self.site.layout.stored_path(&path).as_deref() == Some(&*entry.path);
        let has_age = self.age.contains(&age(self.now_ms, entry.modified_ms));
        (in_place && !entry.is_folder && has_age).then_some(StoredFile { name, path })
    }
}
