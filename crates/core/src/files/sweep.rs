//! Removes what failed uploads have left: drafts, and files without a row.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use metrics::counter;
use tracing::{info, warn};

use super::Files;
use crate::ports::PortError;
use crate::ports::file_store::SweepGuard;

/// The pause between two sweeps.
pub(super) const EVERY: Duration = Duration::from_secs(600);

/// A draft that was not written for this long has no live writer: its upload would have timed out
/// much earlier.
const IDLE: Duration = Duration::from_secs(3600);

/// A file without a row is kept for this long after its commit. Its row is written right after the
/// commit, with a timeout that is much shorter.
pub(super) const GRACE: Duration = Duration::from_secs(3600);

/// Older files are never removed for lack of a row: a store that runs with another directory, as
/// after an incomplete restore, must not be emptied.
pub(super) const REACH: Duration = Duration::from_secs(7 * 24 * 3600);

impl Files {
    /// Sweeps at once and then every ten minutes. Never returns. Dropping the future is safe.
    pub async fn sweep_forever(&self, guard: &dyn SweepGuard) {
        let mut reach = REACH;
        loop {
            reach = self.sweep(guard, reach).await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Sweeps once, over the last `reach` after the grace time. Returns the reach for the next
    /// sweep: it covers the files that become old enough until then, or everything if this sweep
    /// failed.
    pub(super) async fn sweep(&self, guard: &dyn SweepGuard, reach: Duration) -> Duration {
        let begun = Instant::now();
        self.sweep_half_files().await;
        match self.sweep_orphans(guard, reach).await {
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

    /// Removes the files that have no row, over the last `reach` after the grace time.
    async fn sweep_orphans(
        &self,
        guard: &dyn SweepGuard,
        reach: Duration,
    ) -> Result<(), PortError> {
        let kept_from = guard.begin().await?;
        let mut listing = self.store.list(GRACE..kept_from.min(GRACE + reach)).await?;
        while let Some(stored) = listing.next().await {
            let stored = stored?;
            if self.rows.find(stored.id).await?.is_some() {
                continue;
            }
            guard.check().await?;
            self.store.remove(&stored.path).await?;
            counter!("lakechat_files_swept_total", "kind" => "orphan").increment(1);
            info!(file.id = %stored.id, "removed a file whose row was never written");
        }
        Ok(())
    }
}
