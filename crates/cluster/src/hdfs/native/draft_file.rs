//! An open draft in HDFS, and the library's writer behind it.
//!
//! The library writes to whatever DataNodes the NameNode names for a block, and fails if one of them is
//! dead. The NameNode names dead nodes until it notices, which takes minutes by Hadoop's defaults. As
//! long as a file has only its first batch, it costs nothing to begin again: in the end with a single
//! replica, as Hadoop's own client goes on with the nodes that are left. HDFS makes the other replicas
//! once the file is closed. The library itself replaces nodes that fail later.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hdfs_native::HdfsError;
use hdfs_native::file::FileWriter;
use metrics::counter;
use tokio::time::{sleep, timeout};
use tracing::info;

use super::name_node::{NameNode, port_error};
use crate::hdfs::client::DraftFile;
use crate::hdfs::exceptions::unavailable;
use lakechat_core::ports::PortError;

/// The pause before each retry of the first batch, and with how many replicas; `None`: as many as are
/// wanted.
const RETRIES: [(Duration, Option<u32>); 4] = [
    (Duration::ZERO, None),
    (Duration::from_millis(500), Some(1)),
    (Duration::from_secs(1), Some(1)),
    (Duration::from_secs(2), Some(1)),
];

pub(super) struct NativeDraft {
    name_node: Arc<NameNode>,
    path: String,
    file: FileWriter,
    has_begun: bool,
    /// How many replicas a file is to get that was begun with fewer.
    replicas: Option<u32>,
}

impl NativeDraft {
    pub async fn create(name_node: Arc<NameNode>, path: String) -> Result<NativeDraft, PortError> {
        Ok(NativeDraft {
            file: name_node.create(&path, None).await?,
            name_node,
            path,
            has_begun: false,
            replicas: None,
        })
    }

    /// Writes the first batch, and makes sure that the DataNodes have it.
    async fn begin(&mut self, batch: Bytes) -> Result<(), PortError> {
        for (pause, replicas) in RETRIES {
            match self.write_through(batch.clone()).await {
                Err(error @ (HdfsError::IOError(_) | HdfsError::DataTransferError(_))) => {
                    counter!("lakechat_hdfs_pipelines_failed_total").increment(1);
                    info!(%error, "the DataNodes did not accept the first bytes of a file; starting it again");
                }
                written => return written.map_err(data_error),
            }
            sleep(pause).await;
            self.begin_again(replicas).await?;
        }
        self.write_through(batch).await.map_err(data_error)
    }

    /// `write_bytes` only queues a batch; a dead DataNode shows when it has to acknowledge it.
    async fn write_through(&mut self, batch: Bytes) -> hdfs_native::Result<()> {
        self.file.write_bytes(batch).await?;
        match self.file.hsync().await {
            // The library can't sync files with erasure coding. Then the batch is taken as written.
            Err(HdfsError::OperationFailed(_)) => Ok(()),
            synced => synced,
        }
    }

    async fn begin_again(&mut self, replicas: Option<u32>) -> Result<(), PortError> {
        if replicas.is_some() && self.replicas.is_none() {
            // The number that `close` restores.
            let status = self.name_node.stat(&self.path).await?;
            self.replicas = status.and_then(|status| status.replication);
        }
        // Not overwritten: removing the file ends its lease, so that `create` is free to take one.
        self.name_node.delete(&self.path, false).await?;
        let file = self.name_node.create(&self.path, replicas).await?;
        let failed = mem::replace(&mut self.file, file);
        end(&self.name_node, failed).await;
        Ok(())
    }
}

#[async_trait]
impl DraftFile for NativeDraft {
    async fn write(&mut self, batch: Bytes) -> Result<(), PortError> {
        if self.has_begun {
            return self
                .file
                .write_bytes(batch)
                .await
                .map(drop)
                .map_err(data_error);
        }
        self.begin(batch).await?;
        self.has_begun = true;
        Ok(())
    }

    async fn close(&mut self) -> Result<(), PortError> {
        self.file.close().await.map_err(data_error)?;
        match self.replicas {
            Some(replicas) => self.name_node.set_replicas(&self.path, replicas).await,
            None => Ok(()),
        }
    }

    async fn end_pipeline(self: Box<Self>) {
        end(&self.name_node, self.file).await;
    }
}

async fn end(name_node: &NameNode, mut file: FileWriter) {
    // Fails, as the file is gone. What counts is that it shuts the pipeline down.
    let _ = timeout(name_node.settings().stall_timeout, file.close()).await;
}

fn data_error(error: HdfsError) -> PortError {
    match port_error(error, "HDFS") {
        // The draft is gone: another server took this one for dead and swept it. A retry may succeed.
        PortError::Broken { reason, .. }
            if reason.to_string().contains("FileNotFoundException") =>
        {
            unavailable(reason)
        }
        error => error,
    }
}
