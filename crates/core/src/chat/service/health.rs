//! What chat does once a second, and what it reports of the parts that it stands on.

use std::time::Duration;

use super::Chat;
use crate::chat::clock::boot_ms;
use crate::ports::PortError;

/// How long archived records stay in the tails.
const TAIL_KEEP: Duration = Duration::from_secs(300);

/// How long a channel that nobody uses stays loaded.
const CHANNEL_KEEP: Duration = Duration::from_secs(300);

/// Why a part does not work, as far as chat can tell; `None`: it works.
#[derive(Debug)]
pub struct Health {
    /// Sends are refused, or the log may lose what history does not have.
    pub broker: Option<String>,
    /// A partition is not archived.
    pub archiver: Option<String>,
    /// Presence answers for this server alone.
    pub presence: Option<String>,
    /// Records that were folded and are not in history.
    pub archive_lag_records: u64,
}

impl Chat {
    /// Waits until the reader has passed the end that the log had when this was called, in all
    /// partitions that are not stopped. As long as it takes: reports progress in the log.
    pub async fn caught_up(&self) {
        self.barrier().pass_running().await;
    }

    /// To be called once a second: enforces the deadlines of sends, trims the tails, and unloads idle
    /// channels.
    pub fn tick(&self) {
        self.log.tick(boot_ms(), millis(TAIL_KEEP));
        let before_ms = boot_ms().saturating_sub(millis(CHANNEL_KEEP));
        self.hub.forget_idle(before_ms);
    }

    /// Reads the marks from history: whether it answers, and how far other servers have archived.
    pub async fn check_history(&self) -> Result<(), PortError> {
        let marks = self.reads.history().marks().await;
        self.log.learn_marks(marks)
    }

    pub fn health(&self) -> Health {
        let log = &self.log;
        let at_risk = || log.stale().or_else(|| log.archive_late());
        Health {
            broker: log.stopped().or_else(at_risk),
            archiver: log.archive_stopped(),
            presence: self.hub.presence.degraded(),
            archive_lag_records: log.lag(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
