//! The client over `hdfs-native`: no JVM, all on the runtime that makes it.

mod draft_file;
mod name_node;
mod open_file;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use futures_util::stream;
use hdfs_native::client::ListStatusIterator;
use hdfs_native::{HdfsError, WriteOptions};
use tokio::task::coop::unconstrained;

use self::draft_file::NativeDraft;
use self::name_node::{FILE_MODE, FOLDER_MODE, NameNode, existing};
use self::open_file::NativeFile;
use super::client::{DraftFile, Entries, FileStatus, HdfsClient, OpenFile};
use super::{HadoopConf, HdfsSettings};
use lakechat_core::ports::PortError;

pub(super) struct NativeClient(Arc<NameNode>);

impl NativeClient {
    /// Makes the client; connects with the first call. Must be called within a runtime.
    pub fn new(settings: &HdfsSettings, conf: HadoopConf) -> Result<NativeClient, HdfsError> {
        let name_node = NameNode::new(settings, conf)?;
        Ok(NativeClient(Arc::new(name_node)))
    }
}

#[async_trait]
impl HdfsClient for NativeClient {
    async fn stat(&self, path: &str) -> Result<Option<FileStatus>, PortError> {
        let status = self.0.stat(path).await?;
        Ok(status.map(FileStatus::from))
    }

    fn list(&self, path: &str) -> Entries {
        let entries = self.0.client().list_status_iter(path, false);
        let next = async |(name_node, entries): (Arc<NameNode>, ListStatusIterator)| {
            let entry = next_entry(&name_node, &entries).await?;
            Ok(entry.map(|entry| (entry.into(), (name_node, entries))))
        };
        Box::pin(stream::try_unfold((Arc::clone(&self.0), entries), next))
    }

    async fn delete(&self, path: &str, recursive: bool) -> Result<bool, PortError> {
        self.0.delete(path, recursive).await
    }

    async fn make_folder(&self, path: &str) -> Result<(), PortError> {
        let client = self.0.client();
        let made = client.mkdirs(path, FOLDER_MODE, true);
        self.0.call("mkdirs", made).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<bool, PortError> {
        let client = self.0.client();
        let renamed = async { Ok(existing(client.rename(from, to, false).await)?.is_some()) };
        self.0.call("rename", renamed).await
    }

    async fn touch(&self, path: &str) -> Result<(), PortError> {
        let client = self.0.client();
        let options = WriteOptions::default()
            .permission(FILE_MODE)
            .overwrite(true);
        let touched = async { client.create(path, options).await?.close().await };
        self.0.call("touch", touched).await
    }

    async fn create(&self, path: &str) -> Result<Box<dyn DraftFile>, PortError> {
        let draft = NativeDraft::create(Arc::clone(&self.0), path.to_owned()).await?;
        Ok(Box::new(draft))
    }

    async fn open(&self, path: &str) -> Result<Box<dyn OpenFile>, PortError> {
        let client = self.0.client();
        let reader = self.0.call("open", client.read(path)).await?;
        Ok(Box::new(NativeFile::new(reader)))
    }
}

/// The next entry of a folder. The library has the entries of a page in memory: only one that is not
/// there at once waits for a page, and is a call to the NameNode with its time in the metrics.
async fn next_entry(
    name_node: &NameNode,
    entries: &ListStatusIterator,
) -> Result<Option<hdfs_native::client::FileStatus>, PortError> {
    // The library takes tokio's lock for each entry. Constrained, that would pend after every 128th one
    // and look like a page.
    let mut next = pin!(unconstrained(entries.next()));
    let first_poll = poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
    match first_poll {
        Poll::Ready(entry) => name_node.outcome("list", entry_or_end(entry)),
        Poll::Pending => {
            let entry = async { entry_or_end(next.await) };
            name_node.call("list", entry).await
        }
    }
}

fn entry_or_end(
    entry: Option<hdfs_native::Result<hdfs_native::client::FileStatus>>,
) -> hdfs_native::Result<Option<hdfs_native::client::FileStatus>> {
    // A folder that does not exist ends the listing, also one that was removed between two pages.
    Ok(entry.map(existing).transpose()?.flatten())
}

impl From<hdfs_native::client::FileStatus> for FileStatus {
    fn from(status: hdfs_native::client::FileStatus) -> FileStatus {
        FileStatus {
            path: status.path,
            is_folder: status.isdir,
            length: status.length as u64,
            modified_ms: status.modification_time,
        }
    }
}
