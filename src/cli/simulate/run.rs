//! What all people of a run share.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::check::ChannelCheck;
use super::figures::Figures;
use super::message::Script;
use lakechat_core::domain::ChannelName;

/// Failures that are kept; the others are counted.
const KEPT_FAILURES: usize = 100;

#[derive(Debug)]
pub struct Run {
    pub script: Script,
    pub habits: Habits,
    checks: Vec<Mutex<ChannelCheck>>,
    pub figures: Figures,
    failures: Mutex<Failures>,
    /// Nobody sends any more; those who are away come back to get what they missed.
    pub end: CancellationToken,
    /// Everybody goes home.
    pub finish: CancellationToken,
}

/// What people do.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Messages per second of one person.
    pub rate: f64,
    /// Mean times; a stay of zero lasts to the end.
    pub stay: Duration,
    pub away: Duration,
    /// Longest time without a connection.
    pub reconnect_within: Duration,
}

/// What went wrong other than with a message.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    pub kept: Vec<String>,
    pub count: u64,
}

impl Run {
    pub fn new(script: Script, habits: Habits, channels: u32, duration: Duration) -> Run {
        let checks = (1..=channels).map(ChannelCheck::new).map(Mutex::new);
        Run {
            script,
            habits,
            checks: checks.collect(),
            figures: Figures::new(duration),
            failures: Mutex::default(),
            end: CancellationToken::new(),
            finish: CancellationToken::new(),
        }
    }

    /// The check of a channel; channels count from 1.
    pub fn check(&self, channel: u32) -> MutexGuard<'_, ChannelCheck> {
        self.checks[channel as usize - 1]
            .lock()
            .expect("nobody panics while checking")
    }

    pub fn channels(&self) -> impl Iterator<Item = u32> + use<> {
        1..=self.checks.len() as u32
    }

    pub fn channel_named(&self, name: &ChannelName) -> Option<u32> {
        let (_, number) = name.as_str().rsplit_once("-c")?;
        let number = number.parse().ok()?;
        (self.script.channel(number) == *name).then_some(number)
    }

    pub fn fail(&self, what: String) {
        let mut failures = self.failures();
        failures.count += 1;
        if failures.kept.len() < KEPT_FAILURES {
            failures.kept.push(what);
        }
    }

    pub fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures
            .lock()
            .expect("nobody panics while holding them")
    }

    pub fn fault_count(&self) -> u64 {
        let counts = |channel| self.check(channel).faults.counts().values().sum::<u64>();
        self.channels().map(counts).sum::<u64>() + self.failures().count
    }

    /// Whether nobody talks, everybody is connected, and all has arrived.
    pub fn is_settled(&self) -> bool {
        let tally = self.figures.tally();
        let is_quiet = tally.cut == 0 && tally.talking == 0;
        drop(tally);
        is_quiet && self.channels().all(|c| self.check(c).is_settled())
    }
}
