//! The log's clock: the wall clock, except that it never steps back, not even across a restart.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// `max(wall clock, last time + monotonic time since)`, in milliseconds since 1970.
///
/// It stores the largest lead that the wall clock has ever had over the monotonic clock. The lead
/// never shrinks, so the sum of both never falls. After the wall clock is set back, this clock
/// advances with the monotonic one.
pub(super) struct LogClock {
    /// Lead over the monotonic clock, in nanoseconds.
    lead: AtomicI64,
}

impl LogClock {
    /// A clock that starts at the log's last append time or later.
    pub fn starting_after(last_append_ms: u64) -> LogClock {
        let last = i64::try_from(last_append_ms.saturating_mul(1_000_000)).unwrap_or(0);
        LogClock {
            lead: AtomicI64::new(last - monotonic()),
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.at(wall(), monotonic())
    }

    fn at(&self, wall: i64, monotonic: i64) -> u64 {
        let lead = wall - monotonic;
        let before = self.lead.fetch_max(lead, Ordering::Relaxed);
        let now = monotonic + lead.max(before);
        u64::try_from(now / 1_000_000).unwrap_or(0)
    }
}

/// Nanoseconds since boot, including suspended time.
fn monotonic() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Nanoseconds since 1970; 0 for a clock that is set to before.
fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn wall_clock_that_steps_back_does_not_turn_time_back() {
        let clock = LogClock {
            lead: AtomicI64::new(0),
        };
        assert_eq!(clock.at(100 * S, S), 100_000);
        assert_eq!(clock.at(40 * S, 3 * S), 102_000);
        assert_eq!(clock.at(200 * S, 4 * S), 200_000);
    }

    #[test]
    fn clock_goes_on_from_a_time_in_the_future() {
        let ahead = u64::try_from(wall() / 1_000_000).unwrap() + 3_600_000;
        let now = LogClock::starting_after(ahead).now_ms();
        assert!((ahead..ahead + 10_000).contains(&now), "{now}");
    }

    #[test]
    fn calls_in_quick_succession_add_up() {
        let clock = LogClock {
            lead: AtomicI64::new(100 * S),
        };
        let times = (0..10_000).map(|i| clock.at(0, i * 100_000));
        assert_eq!(times.last(), Some(100_999));
    }
}
