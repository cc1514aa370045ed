//! The upkeep that chat needs once a second, and its health.

use std::time::Duration;

use super::Chat;
use crate::chat::clock::boot_ms;
use crate::chat::log::barrier::NotRead;
use crate::domain::{Code, Problem};
use crate::ports::PortError;

/// How long archived records stay in the tails at most.
const TAIL_KEEP: Duration = Duration::from_secs(300);

/// How long an unused channel stays loaded.
const CHANNEL_KEEP: Duration = Duration::from_secs(300);

/// The state of a part of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartHealth {
    Up,
    /// It works, but not fully. Holds the reason.
    Degraded(String),
    /// Holds the reason.
    Down(String),
}

/// How the parts do, as far as chat can see. A reason says why a part doesn't work; `None`: it works.
#[derive(Debug)]
pub struct Health {
    /// Down: sends are refused, or the log may delete records before they are archived. Degraded: that is so
    /// in some partitions, some are stopped, or this server's clock is off.
    pub broker: PartHealth,
    /// A partition is not archived.
    pub archiver: Option<String>,
    /// Presence doesn't see the users of other servers.
    pub presence: Option<String>,
    /// Folded records that are not in history.
    pub archive_lag_records: u64,
}

impl Chat {
    /// Waits until the reader has reached the log's end offsets at the time of this call, in every
    /// partition that isn't stopped. Has no deadline; logs its progress.
    pub async fn caught_up(&self) {
        self.barrier().pass_running().await;
    }

    /// Fails overdue sends, trims the tails and unloads idle channels. To be called once a second.
    pub fn tick(&self) {
        self.log.tick(boot_ms(), millis(TAIL_KEEP));
        let before_ms = boot_ms().saturating_sub(millis(CHANNEL_KEEP));
        self.hub.forget_idle(before_ms);
    }

    /// Reads the marks from history. This checks whether history responds, and shows how far other
    /// servers have archived.
    pub async fn check_history(&self) -> Result<(), PortError> {
        let marks = self.reads.history().marks().await;
        self.log.learn_marks(marks)
    }

    pub fn health(&self) -> Health {
        let log = &self.log;
        Health {
            broker: self.log_health(),
            archiver: log.archive_stopped(),
            presence: self.hub.presence.degraded(),
            archive_lag_records: log.lag(),
        }
    }
}

impl Chat {
    fn log_health(&self) -> PartHealth {
        let log = &self.log;
        if let Some(reason) = log.all_stopped() {
            return PartHealth::Down(reason);
        }
        // Each with whether it concerns all that is left of the log.
        let troubles = [log.stale(), log.archive_late(), log.clock_skew()];
        let mut troubles: Vec<_> = troubles.into_iter().flatten().collect();
        if let Some(whole) = troubles.iter().position(|(_, is_whole)| *is_whole) {
            return PartHealth::Down(troubles.swap_remove(whole).0);
        }
        let partial = troubles.into_iter().map(|(reason, _)| reason);
        let reasons: Vec<_> = log.stopped().into_iter().chain(partial).collect();
        match reasons.is_empty() {
            true => PartHealth::Up,
            false => PartHealth::Degraded(reasons.join("; ")),
        }
    }
}

/// The part that keeps channels from being read, as [`Chat::degraded`] names it.
pub(in crate::chat) fn part_of(problem: &Problem) -> &'static str {
    let cause = problem.cause.as_ref();
    match problem.code {
        Code::DirectoryUnavailable => "directory",
        _ if cause.is_some_and(|cause| cause.is::<NotRead>()) => "broker",
        _ => "history",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
