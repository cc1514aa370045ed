//! Random choices, which depend on the seed alone.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;

/// How far a clock may be from the true time, in ms.
///
/// A client may retry for five minutes. The frame then takes up to [`FRAME_MS`] to its server, and
/// its record up to a minute and two skews to the log. Steps of the log's clock move the window
/// by up to two more skews. The sum must stay below the window's ten minutes.
pub const SKEW_MS: i64 = 45 * SECOND as i64;

/// How long a frame may take. After that, a missed heartbeat would have closed its session.
pub const FRAME_MS: u64 = 50 * SECOND;

pub struct Chance(StdRng);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(StdRng::seed_from_u64(seed))
    }

    pub fn one_in(&mut self, n: u32) -> bool {
        self.0.random_ratio(1, n)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0.random_range(0..n)
    }

    pub fn index(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    /// A number from 0 to `most`, and often `most` itself.
    pub fn up_to(&mut self, most: u64) -> u64 {
        match self.below(4) {
            0 => most,
            _ => self.below(most + 1),
        }
    }

    /// How far a clock is ahead of the true time, in ms.
    pub fn skew(&mut self, wild: bool) -> i64 {
        match self.below(if wild { 8 } else { 6 }) {
            0 | 1 => 0,
            2 => SKEW_MS,
            3 => -SKEW_MS,
            4 | 5 => self.up_to(2 * SKEW_MS as u64) as i64 - SKEW_MS,
            _ => self.hours_off(),
        }
    }

    pub fn hours_off(&mut self) -> i64 {
        let hours = (1 + self.below(3)) * HOUR;
        let off = hours as i64 + self.below(3) as i64 * SECOND as i64 - SECOND as i64;
        if self.one_in(2) { off } else { -off }
    }

    /// A delay in ms: mostly a few ms, sometimes up to `most`.
    pub fn delay(&mut self, most: u64) -> u64 {
        match self.below(24) {
            0 => self.up_to(most),
            1 | 2 => self.below(2 * SECOND),
            _ => 1 + self.below(5),
        }
    }

    /// How long a server is paused, in ms.
    pub fn stop(&mut self) -> u64 {
        match self.below(5) {
            0 => self.below(30 * SECOND),
            1 => 30 * SECOND + self.below(90 * SECOND),
            2 => 2 * MINUTE + self.below(8 * MINUTE),
            3 => 10 * MINUTE + self.below(10 * MINUTE),
            _ => HOUR + self.below(2 * HOUR),
        }
    }
}
