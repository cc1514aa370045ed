//! What is done once in a while: parts asked, deadlines kept, idle things forgotten, health told.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::ports::Ports;
use super::probes::{Probe, Probes};
use crate::readiness::{Part, Readiness};
use crate::shutdown::{Shutdown, Stage, Tasks};
use lakechat_core::chat::clock::boot_ms;
use lakechat_core::chat::log::Log;
use lakechat_core::chat::service::Chat;
use lakechat_core::domain::ChannelName;
use lakechat_core::files::Files;

const TICK: Duration = Duration::from_secs(1);

/// How long archived records stay in the tails.
const TAIL_KEEP: Duration = Duration::from_secs(300);

/// How long a channel that nobody uses stays loaded.
const CHANNEL_KEEP: Duration = Duration::from_secs(300);

/// Looks after everything once, and then again and again.
pub async fn spawn(
    chat: &Arc<Chat>,
    files: &Arc<Files>,
    ports: &Ports,
    readiness: &Readiness,
    shutdown: &Shutdown,
    tasks: &mut Tasks,
) {
    let probes = Probes::new(probes(&chat.log, ports), readiness.clone());
    let asks_on = probes.start().await;
    let upkeep = Upkeep {
        chat: chat.clone(),
        readiness: readiness.clone(),
    };
    upkeep.turn();
    let files = files.clone();
    let sweeps = async move { files.sweep_forever().await };
    // Each turn of theirs begins anew: one that is cut loses nothing, a sweep is made up for.
    let mut spawn = |name, work| tasks.spawn(Stage::Back, name, run(work, shutdown.clone()));
    spawn("probes", asks_on.boxed());
    spawn("upkeep", upkeep.run().boxed());
    spawn("file sweeper", sweeps.boxed());
}

async fn run(work: BoxFuture<'static, ()>, until: Shutdown) -> Result<(), Infallible> {
    tokio::select! {
        () = work => {}
        () = until.closing() => {}
    }
    Ok(())
}

/// How each part is asked that answers for itself. What the log says of the others is `tell_health`'s.
fn probes(log: &Arc<Log>, ports: &Ports) -> Vec<Probe> {
    let (log, history) = (log.clone(), ports.history.clone());
    let channels = ports.directory.channels.clone();
    let files = ports.files.clone();
    vec![
        Probe::new(Part::History, move || {
            let (log, history) = (log.clone(), history.clone());
            async move { log.learn_marks(history.marks().await) }
        }),
        Probe::new(Part::Directory, move || {
            let channels = channels.clone();
            // One row, which every installation has.
            async move { channels.find(&ChannelName::general()).await.map(drop) }
        }),
        Probe::new(Part::Files, move || {
            let files = files.clone();
            async move { files.check().await }
        }),
    ]
}

struct Upkeep {
    chat: Arc<Chat>,
    readiness: Readiness,
}

impl Upkeep {
    async fn run(self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.turn();
        }
    }

    fn turn(&self) {
        self.chat.log.tick(boot_ms(), millis(TAIL_KEEP));
        self.chat
            .forget_idle(boot_ms().saturating_sub(millis(CHANNEL_KEEP)));
        self.tell_health();
    }

    fn tell_health(&self) {
        let log = &self.chat.log;
        let at_risk = || log.stale().or_else(|| log.archive_late());
        match log.stopped().or_else(at_risk) {
            Some(reason) => self.readiness.down(Part::Broker, reason),
            None => self.readiness.up(Part::Broker),
        }
        match self.chat.hub.presence.degraded() {
            Some(reason) => self.readiness.degraded(Part::Presence, reason),
            None => self.readiness.up(Part::Presence),
        }
        match log.archive_stopped() {
            Some(reason) => self.readiness.down(Part::Archiver, reason),
            None => self.readiness.up(Part::Archiver),
        }
        self.chat.set_degraded(self.readiness.not_up());
        self.readiness
            .figure(Part::Archiver, "lag_records", log.lag());
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
