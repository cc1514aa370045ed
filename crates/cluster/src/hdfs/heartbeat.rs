//! Shows other servers that this run is alive, and this server whether HDFS accepts writes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::exceptions::unavailable;
use super::layout::HEARTBEAT;
// The site holds the heartbeat, whose task writes by the site.
use super::site::Site;
use lakechat_core::ports::PortError;

/// The outcome of the heartbeats. One task writes them; others wait for an outcome.
#[derive(Default)]
pub(super) struct Heartbeat {
    state: watch::Sender<HeartbeatState>,
    /// A heartbeat is wanted before its time.
    wanted: Notify,
}

#[derive(Clone, Default)]
struct HeartbeatState {
    attempts: u64,
    /// The NameNode's time stamp of the latest heartbeat, and this machine's time when it was read.
    stamp: Option<(u64, Instant)>,
    /// Why the latest attempt failed.
    failure: Option<String>,
    is_closed: bool,
}

impl Heartbeat {
    /// The time by the NameNode's clock, in milliseconds since 1970. Waits for the first attempt of this
    /// run.
    pub async fn now_ms(&self) -> Result<u64, PortError> {
        let state = self.wait_for(|state| state.attempts > 0).await;
        match state.stamp {
            Some((ms, read_at)) => Ok(ms + read_at.elapsed().as_millis() as u64),
            None => Err(not_accepting(state)),
        }
    }

    /// Whether HDFS accepts writes. If the latest heartbeat failed, another one is made at once, so that
    /// a recovery is not seen an interval late.
    async fn check(&self) -> Result<(), PortError> {
        let latest = self.wait_for(|state| state.attempts > 0).await;
        if latest.failure.is_none() && !latest.is_closed {
            return Ok(());
        }
        self.wanted.notify_one();
        let state = self
            .wait_for(|state| state.attempts > latest.attempts)
            .await;
        match state.failure {
            None if !state.is_closed => Ok(()),
            _ => Err(not_accepting(state)),
        }
    }

    async fn wait_for(&self, reached: impl Fn(&HeartbeatState) -> bool) -> HeartbeatState {
        let mut states = self.state.subscribe();
        let state = states.wait_for(|state| reached(state) || state.is_closed);
        // Never an error: the sender lives as long as `self`.
        state.await.map(|state| state.clone()).unwrap_or_default()
    }

    fn record(&self, outcome: Result<u64, PortError>) {
        self.state.send_modify(|state| {
            state.attempts += 1;
            let before = state.failure.take();
            match outcome {
                Ok(ms) => state.stamp = Some((ms, Instant::now())),
                Err(error) => state.failure = Some(error.reason().to_string()),
            }
            report(before.as_deref(), state.failure.as_deref());
        });
    }
}

fn not_accepting(state: HeartbeatState) -> PortError {
    let reason = state.failure.unwrap_or_else(|| "it is closed".to_owned());
    unavailable(format!("HDFS does not accept writes: {reason}"))
}

fn report(before: Option<&str>, after: Option<&str>) {
    match (before, after) {
        (None, Some(reason)) => warn!(%reason, "HDFS does not accept writes: {reason}"),
        (Some(_), None) => info!("HDFS accepts writes again"),
        _ => {}
    }
    if after.is_some() {
        metrics::counter!("lakechat_hdfs_beats_failed_total").increment(1);
    }
}

/// Writes heartbeats until the store closes. The future may be dropped.
pub(super) async fn beat_until(closing: CancellationToken, site: Arc<Site>) {
    let mut ticks = interval(site.settings.heartbeat_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Loses nothing: a closing store needs no heartbeat.
            () = closing.cancelled() => break,
            // A tick or a wish that loses is ready at once the next time.
            _ = ticks.tick() => {}
            () = site.heartbeat.wanted.notified() => {}
        }
        // A panic is one failed heartbeat: without further ones other servers would remove this run's
        // drafts, and callers that wait for an outcome would wait for ever.
        let outcome = AssertUnwindSafe(beat(&site)).catch_unwind().await;
        let panicked = |_| Err(unavailable("this server's heartbeat panicked"));
        site.heartbeat.record(outcome.unwrap_or_else(panicked));
    }
    site.heartbeat
        .state
        .send_modify(|state| state.is_closed = true);
}

/// Writes this run's heartbeat and returns the NameNode's time stamp of it.
async fn beat(site: &Site) -> Result<u64, PortError> {
    let folder = site.layout.run(&site.run);
    let file = format!("{folder}/{HEARTBEAT}");
    // Each time: a server that took this run for dead has removed its folder.
    site.client.make_folder(&folder).await?;
    site.client.touch(&file).await?;
    let status = site.client.stat(&file).await?;
    let status = status.ok_or_else(|| unavailable("this server's heartbeat file was removed"))?;
    Ok(status.modified_ms)
}

/// See [`lakechat_core::ports::FileStore::check`].
pub(super) async fn check(site: &Site) -> Result<(), PortError> {
    site.heartbeat.check().await?;
    // The latest heartbeat may be an interval old: the NameNode is asked in any case.
    site.client.stat(site.layout.root()).await.map(drop)
}
