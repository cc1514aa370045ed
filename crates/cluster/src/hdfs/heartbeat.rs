//! Telling other servers that this run lives, and oneself whether HDFS takes changes.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::store::Site;
use crate::hdfs::exceptions::unavailable;
use crate::hdfs::layout::BEAT;
use lakechat_core::ports::PortError;

/// What beating has come to. One task beats; who wants to know waits for it.
#[derive(Default)]
pub(super) struct Heartbeat {
    state: watch::Sender<State>,
    /// Somebody wants a beat before its time.
    wanted: Notify,
}

#[derive(Clone, Default)]
struct State {
    /// How often was tried.
    tries: u64,
    /// The NameNode's time of the latest beat, and when that was by this machine.
    stamp: Option<(u64, Instant)>,
    /// Why the latest try failed.
    failure: Option<String>,
    is_over: bool,
}

impl Heartbeat {
    /// The NameNode's time, in milliseconds since 1970. Waits for the first beat of this run.
    pub async fn now_ms(&self) -> Result<u64, PortError> {
        let state = self.wait_for(|state| state.tries > 0).await;
        match state.stamp {
            Some((ms, at)) => Ok(ms + at.elapsed().as_millis() as u64),
            None => Err(failed(state)),
        }
    }

    /// Tells whether HDFS takes changes: what the latest beat came to, or, where that failed, one
    /// that is made now.
    async fn check(&self) -> Result<(), PortError> {
        let latest = self.wait_for(|state| state.tries > 0).await;
        if latest.failure.is_none() && !latest.is_over {
            return Ok(());
        }
        self.wanted.notify_one();
        let state = self.wait_for(|state| state.tries > latest.tries).await;
        match state.failure {
            None if !state.is_over => Ok(()),
            _ => Err(failed(state)),
        }
    }

    async fn wait_for(&self, is_there: impl Fn(&State) -> bool) -> State {
        let mut states = self.state.subscribe();
        let state = states.wait_for(|state| is_there(state) || state.is_over);
        // Never closed: the sender is here.
        state.await.map(|state| state.clone()).unwrap_or_default()
    }

    fn note(&self, beaten: Result<u64, PortError>) {
        self.state.send_modify(|state| {
            state.tries += 1;
            let before = state.failure.take();
            match beaten {
                Ok(ms) => state.stamp = Some((ms, Instant::now())),
                Err(
                    PortError::Unavailable { reason, .. }
                    | PortError::Broken { reason, .. }
                    | PortError::Stops { reason, .. },
                ) => state.failure = Some(reason),
            }
            report(before.as_deref(), state.failure.as_deref());
        });
    }
}

fn failed(state: State) -> PortError {
    let reason = state.failure.unwrap_or_else(|| "it is closed".to_owned());
    unavailable(format!("HDFS takes no changes: {reason}"))
}

fn report(before: Option<&str>, after: Option<&str>) {
    match (before, after) {
        (None, Some(reason)) => warn!("HDFS takes no changes: {reason}"),
        (Some(_), None) => info!("HDFS takes changes again"),
        _ => {}
    }
    if after.is_some() {
        metrics::counter!("lakechat_hdfs_beats_failed_total").increment(1);
    }
}

/// Beats until the store closes. Dropping it is safe.
pub(super) async fn beat_until(closing: CancellationToken, site: Arc<Site>) {
    let mut ticks = interval(site.settings.beat_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Nothing is lost: no beat is wanted any more.
            () = closing.cancelled() => break,
            // A tick that loses comes at once next time, and so does a wish.
            _ = ticks.tick() => {}
            () = site.heartbeat.wanted.notified() => {}
        }
        let beaten = beat(&site).await;
        site.heartbeat.note(beaten);
    }
    site.heartbeat
        .state
        .send_modify(|state| state.is_over = true);
}

/// Makes this run's beat anew; tells the NameNode's time of it.
async fn beat(site: &Site) -> Result<u64, PortError> {
    let folder = site.layout.run(&site.run);
    let beat = format!("{folder}/{BEAT}");
    site.name_node.make_folder(&folder).await?;
    site.name_node.touch(&beat).await?;
    let status = site.name_node.stat(&beat).await?;
    let status = status.ok_or_else(|| unavailable("this server's beat was removed"))?;
    Ok(status.modification_time)
}

/// See [`lakechat_core::ports::FileStore::check`].
pub(super) async fn check(site: &Site) -> Result<(), PortError> {
    site.heartbeat.check().await?;
    site.name_node.stat(site.layout.root()).await.map(drop)
}
