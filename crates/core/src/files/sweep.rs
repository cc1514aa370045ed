//! Removes what failed uploads have left: drafts, and files without a row.

use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use metrics::counter;
use tracing::{info, warn};

use super::Files;
use crate::ports::PortError;

/// The pause between two sweeps.
const EVERY: Duration = Duration::from_secs(600);

/// A draft that was not written for this long has no live writer: its upload would have timed out
/// much earlier.
const IDLE: Duration = Duration::from_secs(3600);

/// A file without a row is kept for this long after its commit. Its row is written right after the
/// commit, with a timeout that is much shorter.
const GRACE: Duration = Duration::from_secs(3600);

/// Older files are never removed for lack of a row: a store that runs with another directory, as
/// after an incomplete restore, must not be emptied.
pub(super) const REACH: Duration = Duration::from_secs(7 * 24 * 3600);

impl Files {
    /// Sweeps at once and then every ten minutes. Never returns. Dropping the future is safe.
    pub async fn sweep_forever(&self) {
        let mut reach = REACH;
        loop {
            reach = self.sweep(reach).await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Sweeps once, over the last `reach` after the grace time. Returns the reach for the next
    /// sweep: it covers the files that become old enough until then, or everything if this sweep
    /// failed.
    pub(super) async fn sweep(&self, reach: Duration) -> Duration {
        let begun = Instant::now();
        self.sweep_half_files().await;
        match self.sweep_orphans(GRACE..GRACE + reach).await {
            Ok(()) => begun.elapsed() + 2 * EVERY,
            Err(error) => {
                counter!("lakechat_file_sweeps_failed_total").increment(1);
                warn!(%error, "files without a row could not all be looked for");
                REACH
            }
        }
    }

    async fn sweep_half_files(&self) {
        match self.store.sweep_drafts(IDLE).await {
            Ok(0) => {}
            Ok(removed) => {
                counter!("lakechat_files_swept_total", "kind" => "half").increment(removed as u64);
                info!(removed, "removed {removed} half files of writers that died");
            }
            Err(error) => {
                counter!("lakechat_file_sweeps_failed_total").increment(1);
                warn!(%error, "half files could not be looked for");
            }
        }
    }

    /// Removes the files of an age that have no row.
    async fn sweep_orphans(&self, age: Range<Duration>) -> Result<(), PortError> {
        let mut listing = self.store.list(age).await?;
        while let Some(stored) = listing.next().await {
            let stored = stored?;
            if self.rows.find(stored.id).await?.is_some() {
                continue;
            }
            self.store.remove(&stored.path).await?;
            counter!("lakechat_files_swept_total", "kind" => "orphan").increment(1);
            info!(file.id = %stored.id, "removed a file whose row never came");
        }
        Ok(())
    }
}
