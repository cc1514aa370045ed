//! The store over `hdfs-native`: no JVM, all on the runtime that makes it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::exceptions::broken;
use super::heartbeat::{self, Heartbeat};
use super::layout::Layout;
use super::native::name_node::NameNode;
use super::run::{Drafts, Run};
use super::writer::HdfsWriter;
use super::{HadoopConf, Settings, list, read, sweep, upload};
use lakechat_core::domain::FileId;
use lakechat_core::ports::file_store::{ByteStream, FileWriter, Listing};
use lakechat_core::ports::{FileStore, PortError};

/// Why a store can't be made at all. HDFS that is away is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("hdfs.conf_dir can't be used: {0}")]
    Conf(#[from] std::io::Error),
    #[error("hdfs.url or the files in hdfs.conf_dir can't be used: {0}")]
    Client(#[from] hdfs_native::HdfsError),
}

/// Files in HDFS, as long as it lives.
///
/// Dropping it lets go at once; drafts that are open then are removed by the sweeper of any
/// server. [`FileStore::close`] leaves nothing behind.
pub struct HdfsStore {
    site: Arc<Site>,
    /// Uploads, downloads and the heartbeat: whoever closes the store waits for them.
    tasks: TaskTracker,
    closing: CancellationToken,
    _closes: DropGuard,
}

/// What all parts of the store need to know.
pub(super) struct Site {
    pub(super) name_node: NameNode,
    pub(super) layout: Layout,
    pub(super) settings: Settings,
    pub(super) run: Run,
    pub(super) drafts: Drafts,
    pub(super) heartbeat: Heartbeat,
}

impl HdfsStore {
    /// Makes the store and starts its heartbeat; within a runtime. HDFS may be away: what needs it
    /// answers `Unavailable` until it is there.
    pub fn open(settings: Settings) -> Result<HdfsStore, OpenError> {
        let conf = HadoopConf::find(settings.conf_dir.as_deref())?;
        let closing = CancellationToken::new();
        let site = Arc::new(Site {
            name_node: NameNode::new(&settings, conf)?,
            layout: Layout::new(&settings.root),
            run: Run::begin(&settings.server),
            drafts: Drafts::default(),
            heartbeat: Heartbeat::default(),
            settings,
        });
        let tasks = TaskTracker::new();
        tasks.spawn(heartbeat::beat_until(closing.clone(), Arc::clone(&site)));
        Ok(HdfsStore {
            site,
            tasks,
            _closes: closing.clone().drop_guard(),
            closing,
        })
    }
}

impl Site {
    /// Where a path of ours lies; any other is refused, whatever wrote it.
    pub(super) fn place(&self, path: &str) -> Result<String, PortError> {
        let place = self.layout.place(path);
        place.ok_or_else(|| broken(format!("{path:?} is no path of this store")))
    }
}

#[async_trait]
impl FileStore for HdfsStore {
    async fn create(&self, id: FileId) -> Result<Box<dyn FileWriter>, PortError> {
        let upload = upload::begin(Arc::clone(&self.site), id).await?;
        Ok(Box::new(HdfsWriter::start(upload, &self.tasks)))
    }

    async fn read(&self, path: &str, offset: u64, length: u64) -> Result<ByteStream, PortError> {
        let place = self.site.place(path)?;
        let range = read::open(&self.site, &place, offset, length).await?;
        Ok(range.stream(&self.tasks))
    }

    async fn remove(&self, path: &str) -> Result<(), PortError> {
        let place = self.site.place(path)?;
        self.site.name_node.delete(&place, false).await.map(drop)
    }

    async fn sweep(&self, idle: Duration) -> Result<usize, PortError> {
        sweep::sweep(&self.site, idle).await
    }

    async fn list(&self, age: Range<Duration>) -> Result<Listing, PortError> {
        list::list(Arc::clone(&self.site), age).await
    }

    /// One question to the NameNode while all is well; while it isn't, also whether it takes changes
    /// again.
    async fn check(&self) -> Result<(), PortError> {
        heartbeat::check(&self.site).await
    }

    async fn close(&self) -> Result<(), PortError> {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let run = self.site.layout.run(&self.site.run);
        self.site.name_node.delete(&run, true).await.map(drop)
    }
}
