//! Exponential backoff with full jitter.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Each wait is random between zero and a span that doubles with every failure, so that clients
/// that lost the same server don't reconnect at the same time.
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
    rng: StdRng,
}

impl Backoff {
    pub fn new(base: Duration, cap: Duration, seed: u64) -> Backoff {
        Backoff {
            base,
            cap,
            failures: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// The wait after another failure: between zero and `base`, which is doubled for each earlier
    /// failure, but not more than `cap`.
    pub fn next_wait(&mut self) -> Duration {
        let grown = 2u32
            .checked_pow(self.failures)
            .and_then(|factor| self.base.checked_mul(factor));
        let span = grown.unwrap_or(self.cap).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        span.mul_f64(self.rng.random::<f64>())
    }

    /// To be called after a success: the next wait is short again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(250);
    const CAP: Duration = Duration::from_secs(30);

    #[test]
    fn waits_fill_a_span_that_doubles_up_to_the_cap() {
        let mut longest = [Duration::ZERO; 12];
        for seed in 0..2_000 {
            let mut backoff = Backoff::new(BASE, CAP, seed);
            for (failure, longest) in longest.iter_mut().enumerate() {
                let span = (BASE * 2u32.pow(failure as u32)).min(CAP);
                let wait = backoff.next_wait();
                assert!(wait <= span, "{wait:?} after {failure} failures");
                *longest = wait.max(*longest);
            }
        }
        assert!(longest[0] > BASE.mul_f64(0.95));
        assert!(longest[3] > (BASE * 8).mul_f64(0.95));
        assert!(longest[11] > CAP.mul_f64(0.95));
    }

    #[test]
    fn very_many_failures_do_not_overflow_and_a_success_starts_anew() {
        let mut backoff = Backoff::new(BASE, CAP, 1);
        for _ in 0..1_000 {
            assert!(backoff.next_wait() <= CAP);
        }
        backoff.reset();
        assert!(backoff.next_wait() <= BASE);
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let waits = |seed| {
            let mut backoff = Backoff::new(BASE, CAP, seed);
            [(); 8].map(|()| backoff.next_wait())
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }
}
