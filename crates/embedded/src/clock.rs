//! The log's clock: the wall clock, but never back, not even over a restart.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// `max(wall clock, last stamp + monotonic time since)`, in milliseconds since 1970.
///
/// Kept as by how much the wall clock has ever been ahead of the monotonic one: that only grows, and
/// so does their sum. A wall clock that is set back makes this one go on at the monotonic pace.
pub(super) struct Clock {
    /// Nanoseconds from the monotonic clock to this one.
    lead: AtomicI64,
}

impl Clock {
    /// A clock that goes on from the last stamp that the log has.
    pub fn after(last_stamp_ms: u64) -> Clock {
        let stamp = i64::try_from(last_stamp_ms.saturating_mul(1_000_000)).unwrap_or(0);
        Clock {
            lead: AtomicI64::new(stamp - monotonic()),
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

/// Nanoseconds since the machine started, suspended time included.
fn monotonic() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Nanoseconds since 1970; 0 for a clock from before.
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
        let clock = Clock {
            lead: AtomicI64::new(0),
        };
        assert_eq!(clock.at(100 * S, S), 100_000);
        assert_eq!(clock.at(40 * S, 3 * S), 102_000);
        assert_eq!(clock.at(200 * S, 4 * S), 200_000);
    }

    #[test]
    fn clock_goes_on_from_a_stamp_in_the_future() {
        let ahead = u64::try_from(wall() / 1_000_000).unwrap() + 3_600_000;
        let now = Clock::after(ahead).now_ms();
        assert!((ahead..ahead + 10_000).contains(&now), "{now}");
    }

    #[test]
    fn calls_in_quick_succession_add_up() {
        let clock = Clock {
            lead: AtomicI64::new(100 * S),
        };
        let times = (0..10_000).map(|i| clock.at(0, i * 100_000));
        assert_eq!(times.last(), Some(100_999));
    }
}
