//! An open file in HDFS, and the library's writer behind it.
//!
//! The library takes whatever DataNodes the NameNode names for a block, and fails when one of them
//! is dead; the NameNode names dead nodes for as long as it has not noticed, which by Hadoop's
//! defaults may be minutes. While a file has only its first batch, that costs nothing but trying
//! again, in the end with a single copy, as Hadoop's own client goes on with the nodes that are
//! left: HDFS makes the others once the file is closed. Nodes that fail later are replaced by the
//! library.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hdfs_native::HdfsError;
use hdfs_native::file::FileWriter;
use metrics::counter;
use tokio::time::{sleep, timeout};
use tracing::info;

use super::name_node::port_error;
use crate::hdfs::exceptions::unavailable;
use crate::hdfs::store::Site;
use lakechat_core::ports::PortError;

/// Waits before the first batch is tried again, and with how many copies; as many as is wanted
/// where it doesn't say.
const RETRIES: [(Duration, Option<u32>); 4] = [
    (Duration::ZERO, None),
    (Duration::from_millis(500), Some(1)),
    (Duration::from_secs(1), Some(1)),
    (Duration::from_secs(2), Some(1)),
];

pub(in crate::hdfs) struct DraftFile {
    site: Arc<Site>,
    pub path: String,
    file: FileWriter,
    pub written: u64,
    /// How many copies are to be made of what was begun with fewer.
    copies: Option<u32>,
}

impl DraftFile {
    pub async fn create(site: Arc<Site>, path: String) -> Result<DraftFile, PortError> {
        Ok(DraftFile {
            file: site.name_node.create(&path, None).await?,
            site,
            path,
            written: 0,
            copies: None,
        })
    }

    pub async fn write(&mut self, batch: Bytes) -> Result<(), PortError> {
        let length = batch.len() as u64;
        if self.written == 0 {
            self.begin(batch).await?;
        } else {
            self.file.write_bytes(batch).await.map_err(data_error)?;
        }
        self.written += length;
        counter!("lakechat_hdfs_written_bytes_total").increment(length);
        Ok(())
    }

    /// Writes the first batch, and sees to it that the DataNodes have it.
    async fn begin(&mut self, batch: Bytes) -> Result<(), PortError> {
        for (pause, copies) in RETRIES {
            match self.write_through(batch.clone()).await {
                Err(error @ (HdfsError::IOError(_) | HdfsError::DataTransferError(_))) => {
                    counter!("lakechat_hdfs_pipelines_failed_total").increment(1);
                    info!(%error, "DataNodes did not take a file's first bytes, others are tried");
                }
                written => return written.map_err(data_error),
            }
            sleep(pause).await;
            self.create_anew(copies).await?;
        }
        self.write_through(batch).await.map_err(data_error)
    }

    async fn write_through(&mut self, batch: Bytes) -> hdfs_native::Result<()> {
        self.file.write_bytes(batch).await?;
        match self.file.hsync().await {
            // The library can't tell with erasure coding.
            Err(HdfsError::OperationFailed(_)) => Ok(()),
            synced => synced,
        }
    }

    async fn create_anew(&mut self, copies: Option<u32>) -> Result<(), PortError> {
        let node = &self.site.name_node;
        if copies.is_some() && self.copies.is_none() {
            let status = node.stat(&self.path).await?;
            self.copies = status.and_then(|status| status.replication);
        }
        self.remove().await?;
        let file = node.create(&self.path, copies).await?;
        let failed = mem::replace(&mut self.file, file);
        end(&self.site, failed).await;
        Ok(())
    }

    pub async fn close(&mut self) -> Result<(), PortError> {
        self.file.close().await.map_err(data_error)?;
        match self.copies {
            Some(copies) => self.site.name_node.set_copies(&self.path, copies).await,
            None => Ok(()),
        }
    }

    pub async fn remove(&self) -> Result<(), PortError> {
        let removed = self.site.name_node.delete(&self.path, false).await;
        removed.map(drop)
    }

    /// Ends the pipeline to the DataNodes, once the file is removed.
    pub async fn end_pipeline(self) {
        end(&self.site, self.file).await;
    }
}

async fn end(site: &Site, mut file: FileWriter) {
    // Fails, as the file is gone; what counts is that the pipeline is shut down.
    let _ = timeout(site.settings.stall, file.close()).await;
}

fn data_error(error: HdfsError) -> PortError {
    match port_error(error, "HDFS") {
        // The draft is gone, as a sweep removes those of a server that was silent too long.
        PortError::Broken { reason, .. } if reason.contains("FileNotFoundException") => {
            unavailable(reason)
        }
        error => error,
    }
}
