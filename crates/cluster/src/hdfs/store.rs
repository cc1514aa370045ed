//! The port's file store.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::client::HdfsClient;
use super::native::NativeClient;
use super::site::Site;
use super::writer::HdfsWriter;
use super::{HadoopConf, HdfsSettings, heartbeat, list, read, sweep, upload};
use lakechat_core::domain::StoredName;
use lakechat_core::ports::file_store::{ByteStream, FileListing, FileWriter};
use lakechat_core::ports::{FileStore, PortError};

/// A store cannot be opened with these settings. An HDFS that does not respond is not such a reason.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("hdfs.conf_dir can't be used: {0}")]
    Conf(#[from] std::io::Error),
    #[error("hdfs.url or the files in hdfs.conf_dir can't be used: {0}")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Files in HDFS.
///
/// Dropping the store ends its work at once, and any server's sweep removes the drafts that are open
/// then. [`FileStore::close`] leaves nothing behind.
pub struct HdfsStore {
    site: Arc<Site>,
    /// Uploads, downloads and the heartbeat: `close` waits for them.
    tasks: TaskTracker,
    closing: CancellationToken,
    /// Ends the heartbeat of a store that is dropped without `close`.
    _closes: DropGuard,
}

impl HdfsStore {
    /// Makes the store and starts its heartbeat; must be called within a runtime. Does not wait for
    /// HDFS: until it responds, calls answer `Unavailable`.
    pub fn open(settings: HdfsSettings) -> Result<HdfsStore, OpenError> {
        let conf = HadoopConf::find(settings.conf_dir.as_deref())?;
        let client = NativeClient::new(&settings, conf)
            .map_err(|error| OpenError::Client(Box::new(error)))?;
        Ok(HdfsStore::over(Arc::new(client), settings))
    }

    pub(super) fn over(client: Arc<dyn HdfsClient>, settings: HdfsSettings) -> HdfsStore {
        let closing = CancellationToken::new();
        let site = Arc::new(Site::new(settings, client));
        let tasks = TaskTracker::new();
        tasks.spawn(heartbeat::beat_until(closing.clone(), Arc::clone(&site)));
        HdfsStore {
            site,
            tasks,
            _closes: closing.clone().drop_guard(),
            closing,
        }
    }
}

#[async_trait]
impl FileStore for HdfsStore {
    async fn create(&self, name: StoredName) -> Result<Box<dyn FileWriter>, PortError> {
        let upload = upload::begin(Arc::clone(&self.site), name).await?;
        Ok(Box::new(HdfsWriter::start(upload, &self.tasks)))
    }

    async fn read(&self, path: &str, offset: u64, length: u64) -> Result<ByteStream, PortError> {
        let path = self.site.stored_path(path)?;
        let range = read::open(&self.site, &path, offset, length).await?;
        Ok(range.stream(&self.tasks))
    }

    async fn size(&self, path: &str) -> Result<Option<u64>, PortError> {
        let path = self.site.stored_path(path)?;
        let status = self.site.client.stat(&path).await?;
        Ok(status.map(|status| status.length))
    }

    async fn remove(&self, path: &str) -> Result<(), PortError> {
        let path = self.site.stored_path(path)?;
        self.site.client.delete(&path, false).await.map(drop)
    }

    async fn sweep_drafts(&self, idle: Duration) -> Result<usize, PortError> {
        sweep::sweep(&self.site, idle).await
    }

    async fn list(&self, age: Range<Duration>) -> Result<FileListing, PortError> {
        list::list(Arc::clone(&self.site), age).await
    }

    /// One `stat` while HDFS accepts writes. After a failed heartbeat it also waits for another one.
    async fn check(&self) -> Result<(), PortError> {
        heartbeat::check(&self.site).await
    }

    async fn close(&self) -> Result<(), PortError> {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // Last: while the folder is there, other servers wait before they touch the drafts in it.
        let run = self.site.layout.run(&self.site.run);
        self.site.client.delete(&run, true).await.map(drop)
    }
}
