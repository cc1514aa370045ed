//! The minimum transfer rate of a peer.

use std::time::Duration;

/// A minimum number of bytes per window of waiting.
///
/// Only time spent waiting for the peer counts, not our own delays. A surplus does not carry over to
/// the next window: otherwise a peer could be fast once and then keep its connection for hours.
#[derive(Clone, Debug)]
pub struct MinRate {
    bytes_per_second: u64,
    window: Duration,
    waited: Duration,
    moved: u64,
}

/// The peer transferred too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fewer than {bytes_per_second} bytes per second, on average over {window:?}")]
pub struct TooSlow {
    pub bytes_per_second: u64,
    pub window: Duration,
}

impl MinRate {
    /// 0 bytes per second turns the check off.
    pub fn new(bytes_per_second: u64, window: Duration) -> MinRate {
        MinRate {
            bytes_per_second,
            window,
            waited: Duration::ZERO,
            moved: 0,
        }
    }

    /// Counts bytes that were transferred after a wait.
    pub fn count(&mut self, bytes: usize, waited: Duration) -> Result<(), TooSlow> {
        self.moved = self.moved.saturating_add(bytes as u64);
        self.waited += waited;
        if self.waited < self.window {
            return Ok(());
        }
        let wanted = u128::from(self.bytes_per_second) * self.waited.as_millis() / 1_000;
        if u128::from(self.moved) < wanted {
            return Err(TooSlow {
                bytes_per_second: self.bytes_per_second,
                window: self.window,
            });
        }
        (self.waited, self.moved) = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_window_of_waiting_has_to_bring_enough() {
        let mut rate = MinRate::new(100, 10 * SECOND);
        for _ in 0..9 {
            assert_eq!(rate.count(1, SECOND), Ok(()), "a pause is allowed");
        }
        assert_eq!(rate.count(991, SECOND), Ok(()), "it was made up for");
        assert_eq!(rate.count(1_000_000, Duration::ZERO), Ok(()));
        assert_eq!(rate.count(0, 10 * SECOND), Ok(()));
        assert_eq!(rate.count(999, 9 * SECOND), Ok(()));
        let slow = rate.count(0, SECOND).expect_err("999 bytes in ten seconds");
        let text = "fewer than 100 bytes per second, on average over 10s";
        assert_eq!(slow.to_string(), text);
    }

    #[test]
    fn a_rate_of_zero_is_always_kept() {
        let mut rate = MinRate::new(0, SECOND);
        assert_eq!(rate.count(0, 1_000 * SECOND), Ok(()));
    }
}
