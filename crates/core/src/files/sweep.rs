//! Removes what failed uploads have left: drafts, files and parts without a row, and uploads that
//! have ended.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use metrics::counter;
use tracing::{info, warn};

use super::Files;
use crate::domain::{Upload, UploadState, now_ms};
use crate::ports::file_store::{StoredFile, SweepGuard};
use crate::ports::{FileRows, PortError, UploadRows};

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

/// How long the row of an upload that has ended is kept. No request that was under way then is still
/// alive, and no signed URL for the same id is still valid.
pub(super) const REMOVED_KEPT: Duration = Duration::from_secs(25 * 3600);

/// Rows of uploads that are read at a time.
const PAGE: usize = 32;

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
        if let Err(error) = self.sweep_uploads(guard).await {
            counter!("lakechat_file_sweeps_failed_total").increment(1);
            warn!(%error, "could not remove all uploads that have ended");
        }
        match self.sweep_orphans(guard, reach).await {
            Ok(()) => begun.elapsed() + 2 * EVERY,
            Err(error) => {
                counter!("lakechat_file_sweeps_failed_total").increment(1);
                warn!(%error, "the scan for files without a row was incomplete");
                REACH
            }
        }
    }

    async fn sweep_half_files(&self) {
        match self.store.sweep_drafts(IDLE).await {
            Ok(0) => {}
            Ok(removed) => {
                counter!("lakechat_files_swept_total", "kind" => "half").increment(removed as u64);
                info!(
                    removed,
                    "removed {removed} unfinished files of writers that died"
                );
            }
            Err(error) => {
                counter!("lakechat_file_sweeps_failed_total").increment(1);
                warn!(%error, "could not scan for unfinished files");
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
            if is_listed(&*self.rows, &*self.upload_rows, &stored).await? {
                continue;
            }
            guard.check().await?;
            self.store.remove(&stored.path).await?;
            counter!("lakechat_files_swept_total", "kind" => "orphan").increment(1);
            info!(file.id = %stored.name, "removed a file whose row was never written");
        }
        Ok(())
    }

    /// Ends the uploads that have expired, completes those that a server left between their last byte
    /// and the row of their file, and removes the rows of those that ended long ago.
    async fn sweep_uploads(&self, guard: &dyn SweepGuard) -> Result<(), PortError> {
        let mut last = None;
        loop {
            let page = self.upload_rows.list(last, PAGE).await?;
            let Some(upload) = page.last() else {
                return Ok(());
            };
            last = Some(upload.id);
            for upload in &page {
                self.sweep_upload(upload, guard).await?;
            }
        }
    }

    async fn sweep_upload(&self, upload: &Upload, guard: &dyn SweepGuard) -> Result<(), PortError> {
        let now_ms = now_ms();
        let is_past = |at_ms: u64, wait: Duration| now_ms >= at_ms + wait.as_millis() as u64;
        match upload.state {
            UploadState::Removed { at_ms } if is_past(at_ms, REMOVED_KEPT) => {
                guard.check().await?;
                self.rows.remove(upload.id).await?;
                for part in upload.parts() {
                    self.store.remove(&part.path).await?;
                }
                self.upload_rows.remove(upload.id).await
            }
            // Its server does so itself, unless it died.
            UploadState::Complete { at_ms } if !upload.is_partial => {
                if is_past(at_ms, GRACE)
                    && let Err(problem) = self.finish(upload).await
                {
                    warn!(file.id = %upload.id, %problem, "an upload could not be completed");
                }
                Ok(())
            }
            UploadState::Open | UploadState::Complete { .. }
                if is_past(upload.expires_at_ms, Duration::ZERO) =>
            {
                guard.check().await?;
                if self.discard_upload(upload).await? {
                    counter!("lakechat_resumable_uploads_total", "result" => "expired")
                        .increment(1);
                    info!(file.id = %upload.id, "removed an upload that had expired");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Whether a row lists the bytes. The upload first: when its row is gone, that of its file is there.
pub(super) async fn is_listed(
    rows: &dyn FileRows,
    uploads: &dyn UploadRows,
    stored: &StoredFile,
) -> Result<bool, PortError> {
    let StoredFile { name, path } = stored;
    if !name.is_part() {
        return Ok(rows.find(name.file).await?.is_some());
    }
    if let Some(upload) = uploads.find(name.file).await?
        && upload.parts().iter().any(|part| part.path == *path)
    {
        return Ok(true);
    }
    let file = rows.find(name.file).await?;
    Ok(file.is_some_and(|file| file.stored_paths().any(|listed| listed == path)))
}
