//! Whether this process stood still: a stopped process does not notice by itself that what waits in
//! its sockets has grown old.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

/// A pause longer than this makes everything that waited too old to act on.
pub const STOOD_STILL: Duration = Duration::from_secs(30);

const TICK: Duration = Duration::from_secs(1);

/// Milliseconds since boot, suspend included: `Instant` stops there.
pub fn boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Counts the times that the process stood still. Whoever has work from before compares epochs.
#[derive(Debug)]
pub struct Pulse {
    last_tick_ms: AtomicU64,
    epoch: AtomicU64,
}

impl Pulse {
    pub fn new() -> Pulse {
        Pulse {
            last_tick_ms: AtomicU64::new(boot_ms()),
            epoch: AtomicU64::new(0),
        }
    }

    /// How often the process has stood still so far, this moment included: after a pause the first
    /// who asks notices, be it the tick or the reader of the next frame.
    pub fn epoch(&self) -> u64 {
        self.notice(boot_ms());
        self.epoch.load(Relaxed)
    }

    fn notice(&self, now_ms: u64) {
        let last = self.last_tick_ms.load(Relaxed);
        let paused_ms = now_ms.saturating_sub(last);
        if u128::from(paused_ms) <= STOOD_STILL.as_millis() {
            return;
        }
        // Only one of those who notice counts it.
        if self
            .last_tick_ms
            .compare_exchange(last, now_ms, Relaxed, Relaxed)
            .is_ok()
        {
            self.epoch.fetch_add(1, Relaxed);
            metrics::counter!("lakechat_stood_still_total").increment(1);
            tracing::warn!(
                paused_ms,
                "the process stood still; sessions from before are closed"
            );
        }
    }

    /// Starts the thread that ticks until `stop`; `alive` is dropped when it ends.
    pub fn start(
        self: &Arc<Pulse>,
        stop: Arc<AtomicBool>,
        alive: oneshot::Sender<Infallible>,
    ) -> std::io::Result<JoinHandle<()>> {
        let pulse = self.clone();
        std::thread::Builder::new()
            .name("lakechat-pulse".into())
            .spawn(move || {
                while !stop.load(Relaxed) {
                    std::thread::park_timeout(TICK);
                    let now = boot_ms();
                    pulse.notice(now);
                    pulse.last_tick_ms.store(now, Relaxed);
                }
                drop(alive);
            })
    }
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_over_the_limit_is_counted_once() {
        let pulse = Pulse::new();
        let last = pulse.last_tick_ms.load(Relaxed);
        pulse.notice(last + 30_000);
        assert_eq!(pulse.epoch.load(Relaxed), 0);
        pulse.notice(last + 30_001);
        pulse.notice(last + 30_002);
        assert_eq!(pulse.epoch.load(Relaxed), 1);
    }
}
