//! Detects that this process was paused (SIGSTOP, a suspended machine).
//!
//! A paused process doesn't notice that the frames in its sockets have become stale.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

/// After a pause longer than this, frames that waited in a socket are too old to act on.
pub const STOOD_STILL: Duration = Duration::from_secs(30);

const TICK: Duration = Duration::from_secs(1);

/// Milliseconds since boot, including time in suspend, which `Instant` doesn't count.
pub fn boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Counts the pauses of the process. A changed epoch means that work from before is stale.
#[derive(Debug)]
pub struct Pulse {
    /// The epoch in the high bits, the last tick in ms since boot in the low bits. They share one
    /// atomic so that a new tick is never seen with the old epoch.
    state: AtomicU64,
}

/// Enough for the ms of nine thousand years.
const MS_BITS: u32 = 48;

fn packed(epoch: u64, tick_ms: u64) -> u64 {
    epoch << MS_BITS | tick_ms
}

fn unpacked(state: u64) -> (u64, u64) {
    (state >> MS_BITS, state & ((1 << MS_BITS) - 1))
}

impl Pulse {
    pub fn new() -> Pulse {
        Pulse {
            state: AtomicU64::new(packed(0, boot_ms())),
        }
    }

    /// The number of pauses so far.
    ///
    /// Reads the clock, so it counts a pause even if the ticking thread hasn't run since.
    pub fn epoch(&self) -> u64 {
        self.observe(boot_ms(), false)
    }

    /// The epoch at `now_ms`. If `ticks`, also makes it the time of the last tick.
    fn observe(&self, now_ms: u64, ticks: bool) -> u64 {
        let mut state = self.state.load(Relaxed);
        loop {
            let (epoch, last_ms) = unpacked(state);
            let paused_ms = now_ms.saturating_sub(last_ms);
            let stood_still = u128::from(paused_ms) > STOOD_STILL.as_millis();
            if !stood_still && !ticks {
                return epoch;
            }
            let epoch = epoch + u64::from(stood_still);
            let new = packed(epoch, last_ms.max(now_ms));
            // If several threads notice one pause, only the one that wins the exchange counts it.
            match self.state.compare_exchange(state, new, Relaxed, Relaxed) {
                Ok(_) if stood_still => {
                    metrics::counter!("lakechat_stood_still_total").increment(1);
                    tracing::warn!(
                        paused_ms,
                        "the process was suspended; closing the sessions opened before"
                    );
                    return epoch;
                }
                Ok(_) => return epoch,
                Err(other) => state = other,
            }
        }
    }

    /// Starts the thread that ticks until `stop` is set. It drops `alive` when it ends.
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
                    pulse.observe(boot_ms(), true);
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
        let (_, last) = unpacked(pulse.state.load(Relaxed));
        assert_eq!(pulse.observe(last + 30_000, false), 0);
        assert_eq!(pulse.observe(last + 30_001, false), 1);
        assert_eq!(pulse.observe(last + 30_002, true), 1);
        // A thread that read the clock before the pause and gets here after it.
        assert_eq!(pulse.observe(last, true), 1);
        assert_eq!(pulse.observe(last + 30_002 + 30_000, false), 1);
    }
}
