//! Periodic work: checks of the back ends, deadlines of sends, unloading of idle channels, metrics
//! and health.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::ports::Ports;
use super::probes::{Probe, Probes};
use crate::readiness::{Part, Readiness};
use crate::shutdown::{Shutdown, Stage, Tasks};
use lakechat_core::chat::{Chat, PartHealth};
use lakechat_core::domain::{ChannelName, UserName};
use lakechat_core::files::Files;

const TICK: Duration = Duration::from_secs(1);

/// Runs everything once, then spawns the tasks that repeat it.
pub async fn spawn(
    chat: &Arc<Chat>,
    files: &Arc<Files>,
    ports: &Ports,
    readiness: &Readiness,
    shutdown: &Shutdown,
    tasks: &mut Tasks,
) {
    let probes = Probes::new(probes(chat, ports), readiness.clone());
    let probing = probes.start().await;
    let upkeep = Upkeep {
        chat: chat.clone(),
        readiness: readiness.clone(),
    };
    upkeep.tick();
    let (files, guard) = (files.clone(), ports.sweep_guard.clone());
    let sweeps = async move { files.sweep_forever(&*guard).await };
    // Each of them may be aborted at any time: the next run after a restart does its work again.
    let mut spawn = |name, work| tasks.spawn(Stage::Back, name, run(work, shutdown.clone()));
    spawn("probes", probing.boxed());
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

/// The checks of the parts that are asked. `report_health` reports the others.
fn probes(chat: &Arc<Chat>, ports: &Ports) -> Vec<Probe> {
    let chat = chat.clone();
    let (users, channels) = (
        ports.directory.users.clone(),
        ports.directory.channels.clone(),
    );
    let files = ports.files.clone();
    vec![
        Probe::new(Part::History, move || {
            let chat = chat.clone();
            async move { chat.check_history().await }
        }),
        Probe::new(Part::Directory, move || {
            let (users, channels) = (users.clone(), channels.clone());
            async move {
                // Two tables: logins depend on one, joins on the other. Whether the rows exist
                // does not matter.
                let name = UserName::parse("general").expect("a valid name");
                users.find(&name).await?;
                channels.find(&ChannelName::general()).await.map(drop)
            }
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
            self.tick();
        }
    }

    fn tick(&self) {
        self.chat.tick();
        self.report_health();
    }

    fn report_health(&self) {
        let health = self.chat.health();
        match health.broker {
            PartHealth::Up => self.readiness.set_up(Part::Broker),
            PartHealth::Degraded(reason) => self.readiness.set_degraded(Part::Broker, reason),
            PartHealth::Down(reason) => self.readiness.set_down(Part::Broker, reason),
        }
        match health.presence {
            Some(reason) => self.readiness.set_degraded(Part::Presence, reason),
            None => self.readiness.set_up(Part::Presence),
        }
        match health.archiver {
            Some(reason) => self.readiness.set_down(Part::Archiver, reason),
            None => self.readiness.set_up(Part::Archiver),
        }
        self.chat.set_degraded(self.readiness.not_up());
        self.readiness
            .set_figure(Part::Archiver, "lag_records", health.archive_lag_records);
    }
}
