//! Removing drafts of runs that are over, and those of this run that nobody writes.

use std::time::Duration;

use hdfs_native::client::FileStatus;
use tracing::info;

use super::list::Folder;
use super::store::Site;
use crate::hdfs::layout::{BEAT, name_of};
use crate::hdfs::run::{age, is_over};
use lakechat_core::domain::FileId;
use lakechat_core::ports::PortError;

/// See the port. Removing an open file is fine: its writer, should it live after all, gets an error
/// and never a file.
pub(super) async fn sweep(site: &Site, idle: Duration) -> Result<usize, PortError> {
    let now_ms = site.heartbeat.now_ms().await?;
    let mut swept = sweep_own(site, now_ms, idle).await?;
    let mut runs = Folder::open(site, site.layout.runs());
    while let Some(run) = runs.next(site).await? {
        if run.isdir && name_of(&run.path) != site.run.as_str() {
            swept += sweep_run(site, &run, now_ms, idle).await?;
        }
    }
    Ok(swept)
}

/// Drafts that could not be removed when they were given up.
async fn sweep_own(site: &Site, now_ms: u64, idle: Duration) -> Result<usize, PortError> {
    let mut swept = 0;
    let mut drafts = Folder::open(site, site.layout.run(&site.run));
    while let Some(draft) = drafts.next(site).await? {
        let Some(id) = FileId::parse(name_of(&draft.path)) else {
            continue;
        };
        let is_idle = age(now_ms, draft.modification_time) >= idle;
        if is_idle && !site.drafts.contain(id) {
            swept += usize::from(site.name_node.delete(&draft.path, false).await?);
        }
    }
    Ok(swept)
}

/// Removes another run if it is over; tells how many drafts it had.
async fn sweep_run(
    site: &Site,
    run: &FileStatus,
    now_ms: u64,
    idle: Duration,
) -> Result<usize, PortError> {
    let beaten = site.name_node.stat(&format!("{}/{BEAT}", run.path)).await?;
    let beaten = beaten.map_or(0, |beat| beat.modification_time);
    // A folder's stamp moves as drafts come: also that is a sign of life.
    let silent = age(now_ms, beaten.max(run.modification_time));
    if !is_over(silent, idle, site.settings.dead_after) {
        return Ok(0);
    }
    let drafts = count_drafts(site, run).await?;
    // Another server may have been quicker, and tells of them then.
    if !site.name_node.delete(&run.path, true).await? {
        return Ok(0);
    }
    info!(
        run = name_of(&run.path),
        drafts, "removed what a server left that ended without notice"
    );
    Ok(drafts)
}

async fn count_drafts(site: &Site, run: &FileStatus) -> Result<usize, PortError> {
    let mut drafts = 0;
    let mut within = Folder::open(site, run.path.clone());
    while let Some(entry) = within.next(site).await? {
        drafts += usize::from(FileId::parse(name_of(&entry.path)).is_some());
    }
    Ok(drafts)
}
