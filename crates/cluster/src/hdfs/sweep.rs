//! Removes the drafts of dead runs, and those of this run that have no writer.

use std::time::Duration;

use futures_util::TryStreamExt;
use tracing::info;

use super::client::FileStatus;
use super::layout::{HEARTBEAT, name_of};
use super::run::{age, is_dead};
use super::site::Site;
use lakechat_core::domain::StoredName;
use lakechat_core::ports::PortError;

/// Returns the number of removed drafts. If a run was taken for dead by mistake, its writers get errors
/// and its drafts never become files: a commit renames a draft, which is gone.
pub(super) async fn sweep(site: &Site, idle: Duration) -> Result<usize, PortError> {
    let now_ms = site.heartbeat.now_ms().await?;
    let mut removed = sweep_own(site, now_ms, idle).await?;
    let mut runs = site.client.list(&site.layout.runs());
    while let Some(run) = runs.try_next().await? {
        if run.is_folder && name_of(&run.path) != site.run.as_str() {
            removed += sweep_run(site, &run, now_ms, idle).await?;
        }
    }
    Ok(removed)
}

/// Drafts of this run that an upload gave up and could not remove.
async fn sweep_own(site: &Site, now_ms: u64, idle: Duration) -> Result<usize, PortError> {
    let mut removed = 0;
    let mut drafts = site.client.list(&site.layout.run(&site.run));
    while let Some(draft) = drafts.try_next().await? {
        let Some(name) = StoredName::parse(name_of(&draft.path)) else {
            continue;
        };
        let is_idle = age(now_ms, draft.modified_ms) >= idle;
        if is_idle && !site.open_drafts.contains(name) {
            removed += usize::from(site.client.delete(&draft.path, false).await?);
        }
    }
    Ok(removed)
}

/// Removes another run if it is dead; returns how many drafts it had.
async fn sweep_run(
    site: &Site,
    run: &FileStatus,
    now_ms: u64,
    idle: Duration,
) -> Result<usize, PortError> {
    let heartbeat = format!("{}/{HEARTBEAT}", run.path);
    let heartbeat_ms = site.client.stat(&heartbeat).await?;
    let heartbeat_ms = heartbeat_ms.map_or(0, |status| status.modified_ms);
    // A new draft moves the folder's own stamp: that is a sign of life, too.
    let silent = age(now_ms, heartbeat_ms.max(run.modified_ms));
    if !is_dead(silent, idle, site.settings.dead_after) {
        return Ok(0);
    }
    let drafts = count_drafts(site, run).await?;
    // Only one of several servers that sweep at once counts the drafts.
    if !site.client.delete(&run.path, true).await? {
        return Ok(0);
    }
    info!(
        run = name_of(&run.path),
        drafts, "removed the drafts of a server that ended without closing its store"
    );
    Ok(drafts)
}

async fn count_drafts(site: &Site, run: &FileStatus) -> Result<usize, PortError> {
    let mut drafts = 0;
    let mut entries = site.client.list(&run.path);
    while let Some(entry) = entries.try_next().await? {
        drafts += usize::from(StoredName::parse(name_of(&entry.path)).is_some());
    }
    Ok(drafts)
}
