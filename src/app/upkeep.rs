//! What is done once in a while: marks are read, deadlines kept, idle things forgotten, health told.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::chat::pulse::boot_ms;
use crate::chat::service::Chat;
use crate::files::Files;
use crate::http::health::{Part, Readiness};
use crate::ports::History;
use crate::shutdown::{Shutdown, Stage, Tasks};

const TICK: Duration = Duration::from_secs(1);

/// How long archived records stay in the tails.
const TAIL_KEEP: Duration = Duration::from_secs(300);

/// How long a channel that nobody uses stays loaded.
const CHANNEL_KEEP: Duration = Duration::from_secs(300);

/// Looks after everything once, and then again and again.
pub async fn spawn(
    chat: &Arc<Chat>,
    files: &Arc<Files>,
    history: &Arc<dyn History>,
    readiness: &Readiness,
    shutdown: &Shutdown,
    tasks: &mut Tasks,
) {
    let upkeep = Upkeep {
        chat: chat.clone(),
        history: history.clone(),
        readiness: readiness.clone(),
    };
    upkeep.turn().await;
    let until = shutdown.clone();
    tasks.spawn(Stage::Back, "upkeep", async move {
        tokio::select! {
            // Each turn begins anew: one that is cut loses nothing.
            () = upkeep.run() => {}
            () = until.closing() => {}
        }
        Ok::<_, Infallible>(())
    });
    let (files, until) = (files.clone(), shutdown.clone());
    tasks.spawn(Stage::Back, "file sweeper", async move {
        tokio::select! {
            // A sweep that is cut is made up for by the next.
            _ = files.sweep_forever() => {}
            () = until.closing() => {}
        }
        Ok::<_, Infallible>(())
    });
}

struct Upkeep {
    chat: Arc<Chat>,
    history: Arc<dyn History>,
    readiness: Readiness,
}

impl Upkeep {
    async fn run(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.turn().await;
        }
    }

    async fn turn(&self) {
        self.read_marks().await;
        self.chat.log.tick(boot_ms(), millis(TAIL_KEEP));
        self.chat
            .forget_idle(boot_ms().saturating_sub(millis(CHANNEL_KEEP)));
        self.tell_health();
    }

    async fn read_marks(&self) {
        match self.history.marks().await {
            Ok(marks) => {
                let log = &self.chat.log;
                log.partitions()
                    .zip(marks)
                    .for_each(|(p, mark)| log.learn_mark(p, mark));
                self.readiness.up(Part::History);
                self.readiness.up(Part::Directory);
            }
            Err(error) => {
                self.readiness.down(Part::History, error.to_string());
                self.readiness.down(Part::Directory, error.to_string());
            }
        }
    }

    fn tell_health(&self) {
        let log = &self.chat.log;
        match log.stopped().or_else(|| log.stale()) {
            Some(reason) => self.readiness.down(Part::Broker, reason),
            None => self.readiness.up(Part::Broker),
        }
        self.readiness.up(Part::Files);
        match log.archive_stopped() {
            Some(reason) => self.readiness.down(Part::Archiver, reason),
            None => self.readiness.up(Part::Archiver),
        }
        self.chat.set_degraded(self.readiness.not_up());
        self.readiness
            .figure(Part::Archiver, "lag_records", log.lag() as u64);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
