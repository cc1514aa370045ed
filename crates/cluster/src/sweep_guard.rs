//! Whether the files in HDFS may be judged by the rows in HBase.

use std::time::Duration;

use async_trait::async_trait;

use crate::hbase::HBase;
use crate::hdfs::OwnerFile;
use crate::owner::{Installation, Place, foreign};
use lakechat_core::domain::now_ms;
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::SweepGuard;

/// Compares two things in HDFS with the same in HBase.
///
/// - The id of the installation: files of another one have no rows here.
/// - The stamp of the latest sweep, which each sweep raises, first in HBase and then in HDFS. A lower stamp
///   in HBase means that table `files` was restored from a snapshot, and that later files have no rows.
///
/// What was written before the folder was given to this installation is kept, too: it may be somebody
/// else's, or its rows may be among those that were lost.
pub struct ClusterSweepGuard {
    hbase: HBase,
    file: OwnerFile,
    ours: Installation,
}

impl ClusterSweepGuard {
    pub fn new(hbase: HBase, file: OwnerFile, ours: Installation) -> ClusterSweepGuard {
        ClusterSweepGuard { hbase, file, ours }
    }

    async fn compare(&self) -> Result<(), PortError> {
        self.expect_ours(self.file.owner().await?, &self.file.name())?;
        let table = format!("table {}", self.ours.meta_table);
        self.expect_ours(self.hbase.installation().await?, &table)?;
        match lost_rows(&self.hbase, &self.file).await? {
            Some(reason) => Err(broken(reason)),
            None => Ok(()),
        }
    }

    fn expect_ours(&self, owner: Option<Installation>, place: &str) -> Result<(), PortError> {
        match owner {
            Some(owner) if owner == self.ours => Ok(()),
            Some(owner) => Err(broken(foreign(place, &owner, &self.ours))),
            None => Err(broken(format!("{place} no longer names its owner"))),
        }
    }
}

#[async_trait]
impl SweepGuard for ClusterSweepGuard {
    async fn begin(&self) -> Result<Duration, PortError> {
        self.compare().await?;
        let stamp = next_stamp(self.hbase.sweep_stamp().await?);
        self.hbase.raise_sweep_stamp(stamp).await?;
        let now_ms = self.file.raise_sweep_stamp(stamp).await?;
        let since_ms = self.file.owned_since_ms().await?.unwrap_or(now_ms);
        Ok(Duration::from_millis(now_ms.saturating_sub(since_ms)))
    }

    async fn check(&self) -> Result<(), PortError> {
        self.compare().await
    }
}

/// Why table `files` can't have all rows of the files in HDFS: its stamp is behind. `None` if it can.
pub async fn lost_rows(hbase: &HBase, file: &OwnerFile) -> Result<Option<String>, PortError> {
    // First: a sweep that runs at the same time raises HBase's stamp before this one.
    let in_hdfs = file.sweep_stamp().await?;
    let is_behind = hbase.sweep_stamp().await? < in_hdfs;
    Ok(is_behind.then(|| {
        format!(
            "table files is older than the latest sweep of {}: it was restored or made anew. Files without a \
             row are kept until `lakechat log adopt`",
            file.name()
        )
    }))
}

/// A stamp above the latest one. Stamps are times, so that they also rise above what was deleted from HBase.
pub fn next_stamp(latest: Option<u64>) -> u64 {
    let after = latest.map_or(0, |latest| latest + 1);
    after.max(now_ms())
}

fn broken(reason: String) -> PortError {
    PortError::broken("files", reason)
}
