//! How long records wait for each other, by how many are published.

use std::time::{Duration, Instant};

/// The time over which a rate is measured.
const SLOT: Duration = Duration::from_millis(50);

/// Up to this rate, in records per second, no record waits.
const QUIET: f64 = 300.0;

/// The pause grows by so much with each record per second, up to the longest.
const PAUSE_PER_RATE: Duration = Duration::from_micros(8);
const LONGEST_PAUSE: Duration = Duration::from_millis(8);

/// No pause is longer than so many records take to come: a longer one would save little more, and
/// senders that wait for their acks would wait for it.
const ENOUGH_RECORDS: f64 = 16.0;

/// The pause between two releases: none while little is published; under load it grows with the rate,
/// until enough records come in less.
#[derive(Debug)]
pub(super) struct Pace {
    slot_began: Instant,
    count: u32,
    pause: Duration,
}

impl Pace {
    pub fn new(now: Instant) -> Pace {
        Pace {
            slot_began: now,
            count: 0,
            pause: Duration::ZERO,
        }
    }

    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Counts a record. Returns the pause that follows from the rate until shortly before.
    pub fn count(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.slot_began);
        if passed >= SLOT {
            let rate = f64::from(self.count) / passed.as_secs_f64();
            self.pause = if rate > QUIET {
                let enough = Duration::from_secs_f64(ENOUGH_RECORDS / rate);
                LONGEST_PAUSE.min(PAUSE_PER_RATE.mul_f64(rate)).min(enough)
            } else {
                Duration::ZERO
            };
            (self.slot_began, self.count) = (now, 0);
        }
        self.count += 1;
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause after a second with so many records, evenly spread.
    fn pause_at(rate: u32) -> Duration {
        let began = Instant::now();
        let mut pace = Pace::new(began);
        let pauses = (0..rate).map(|n| pace.count(began + n * Duration::from_secs(1) / rate));
        pauses.last().expect("a record")
    }

    #[test]
    fn pause_grows_with_the_rate_and_has_a_bound() {
        for quiet in [1, 20, 100, 290] {
            assert_eq!(
                pause_at(quiet),
                Duration::ZERO,
                "{quiet} records per second"
            );
        }
        let (slow, fast) = (pause_at(400), pause_at(800));
        assert!(
            Duration::from_millis(2) < slow && slow < fast,
            "{slow:?} {fast:?}"
        );
        assert_eq!(pause_at(1_500), LONGEST_PAUSE);
        let (faster, fastest) = (pause_at(4_000), pause_at(40_000));
        assert!(
            faster < Duration::from_millis(5) && fastest < Duration::from_millis(1),
            "{faster:?} {fastest:?}"
        );
    }

    #[test]
    fn first_record_after_a_quiet_moment_does_not_wait() {
        let began = Instant::now();
        let mut pace = Pace::new(began);
        for n in 0..2_000 {
            pace.count(began + n * Duration::from_micros(100));
        }
        let later = began + Duration::from_secs(2);
        assert_eq!(pace.count(later), Duration::ZERO);
    }
}
