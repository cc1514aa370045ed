//! The stamp of the latest sweep: the highest of the names in folder `swept`. A name is there or not at all,
//! so servers that sweep at once can't lower it.

use futures_util::TryStreamExt;

use super::client::FileStatus;
use super::exceptions::unavailable;
use super::layout::name_of;
use super::owner_file::OwnerFile;
use lakechat_core::ports::PortError;

impl OwnerFile {
    /// The stamp of the latest sweep; `None` before the first one.
    pub async fn sweep_stamp(&self) -> Result<Option<u64>, PortError> {
        let stamps = self.stamps().await?;
        Ok(stamps.last().map(|(stamp, _)| *stamp))
    }

    /// Raises the stamp; returns the NameNode's time, in ms since 1970.
    pub async fn raise_sweep_stamp(&self, stamp: u64) -> Result<u64, PortError> {
        let folder = self.layout.sweeps();
        self.client.make_folder(&folder).await?;
        self.client.touch(&format!("{folder}/{stamp}")).await?;
        let mut stamps = self.stamps().await?;
        let latest = stamps.pop();
        for (_, lower) in stamps {
            self.client.delete(&lower.path, false).await?;
        }
        let (_, latest) = latest.ok_or_else(|| unavailable(format!("{folder} was removed")))?;
        Ok(latest.modified_ms)
    }

    /// Ascending.
    async fn stamps(&self) -> Result<Vec<(u64, FileStatus)>, PortError> {
        let entries = self.client.list(&self.layout.sweeps());
        let entries: Vec<FileStatus> = entries.try_collect().await?;
        let stamped = entries.into_iter();
        let mut stamps: Vec<_> = stamped
            .filter_map(|entry| Some((name_of(&entry.path).parse().ok()?, entry)))
            .collect();
        stamps.sort_by_key(|(stamp, _)| *stamp);
        Ok(stamps)
    }
}
