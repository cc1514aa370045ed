//! The store of one installation: it writes and removes only in a folder that belongs to it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;

use super::exceptions::broken;
use super::owner_file::OwnerFile;
use super::store::HdfsStore;
use crate::owner::{Installation, Place, foreign};
use lakechat_core::domain::StoredName;
use lakechat_core::ports::file_store::{ByteStream, FileListing, FileWriter};
use lakechat_core::ports::{FileStore, PortError};

/// A store that claims its folder with the first call that HDFS answers, and refuses calls if the folder
/// belongs to another installation.
pub struct OwnedStore {
    store: HdfsStore,
    file: OwnerFile,
    ours: Installation,
    was_ours: AtomicBool,
}

impl OwnedStore {
    pub fn new(store: HdfsStore, file: OwnerFile, ours: Installation) -> OwnedStore {
        OwnedStore {
            store,
            file,
            ours,
            was_ours: AtomicBool::new(false),
        }
    }

    /// Asks HDFS until it has once answered that the folder is ours.
    async fn claim(&self) -> Result<(), PortError> {
        if self.was_ours.load(Relaxed) {
            return Ok(());
        }
        self.expect_ours(self.file.claim(&self.ours).await?)?;
        self.was_ours.store(true, Relaxed);
        Ok(())
    }

    /// Asks HDFS each time: an operator may assign the folder to another installation while this one runs.
    async fn verify(&self) -> Result<(), PortError> {
        self.claim().await?;
        match self.file.owner().await? {
            Some(owner) => self.expect_ours(owner),
            None => Err(broken(format!(
                "{} no longer names its owner: restart this server",
                self.file.name()
            ))),
        }
    }

    fn expect_ours(&self, owner: Installation) -> Result<(), PortError> {
        match owner == self.ours {
            true => Ok(()),
            false => Err(broken(format!(
                "{}: correct hdfs.root, or hbase.namespace and hbase.table_prefix",
                foreign(&self.file.name(), &owner, &self.ours)
            ))),
        }
    }
}

#[async_trait]
impl FileStore for OwnedStore {
    async fn create(&self, name: StoredName) -> Result<Box<dyn FileWriter>, PortError> {
        self.claim().await?;
        self.store.create(name).await
    }

    async fn read(&self, path: &str, offset: u64, length: u64) -> Result<ByteStream, PortError> {
        self.store.read(path, offset, length).await
    }

    async fn size(&self, path: &str) -> Result<Option<u64>, PortError> {
        self.store.size(path).await
    }

    async fn remove(&self, path: &str) -> Result<(), PortError> {
        self.verify().await?;
        self.store.remove(path).await
    }

    async fn sweep_drafts(&self, idle: Duration) -> Result<usize, PortError> {
        self.verify().await?;
        self.store.sweep_drafts(idle).await
    }

    async fn list(&self, age: Range<Duration>) -> Result<FileListing, PortError> {
        self.store.list(age).await
    }

    async fn check(&self) -> Result<(), PortError> {
        self.claim().await?;
        self.store.check().await
    }

    async fn close(&self) -> Result<(), PortError> {
        self.store.close().await
    }
}
