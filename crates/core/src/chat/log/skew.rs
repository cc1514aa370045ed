//! How far this server's clock is from the log's, as the records show that this server reads.
//!
//! The log stamped a record before this server read it, and after this server received the send. A record of
//! another server was stamped after this server asked for the log's end, if it lies above that end. So the
//! measure costs nothing, a slow log is no skew, and a server without sends of its own has a measure, too.

use std::time::Duration;

use super::fold::LATE_MS;
use crate::ports::broker::Offset;

/// From this skew on the operator should know.
pub const WARNS_MS: u64 = 15_000;

/// From this skew on every record of this server is late.
pub const REFUSES_MS: u64 = LATE_MS;

/// For how long a measure counts. A server that gets no sends because it isn't ready has to become
/// ready by itself, in case it was the log's clock that was wrong.
const VALID: Duration = Duration::from_secs(300);

/// A moment by this server's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// ms since 1970.
    pub wall_ms: u64,
    /// ms since boot.
    pub boot_ms: u64,
}

impl Moment {
    fn offset(self) -> i64 {
        difference(self.wall_ms, self.boot_ms)
    }
}

/// The skew of one partition, whose clock is that of the broker that leads it.
#[derive(Debug, Default)]
pub struct ClockSkew {
    measured: Option<Measured>,
    /// When the log's end was asked for last, ms since boot, and the answer.
    end: Option<(u64, Offset)>,
}

/// This server's clock minus the log's is between `least_ms` and `most_ms`.
#[derive(Clone, Copy, Debug)]
struct Measured {
    least_ms: i64,
    most_ms: i64,
    at: Moment,
}

impl ClockSkew {
    /// Measures the skew by a record that this server published: when it received the send, when the
    /// log stamped the record, and when it was read.
    pub fn measure(&mut self, received_at_ms: u64, append_ms: u64, read: Moment) {
        self.measured = Some(Measured {
            least_ms: difference(received_at_ms, append_ms),
            most_ms: difference(read.wall_ms, append_ms),
            at: read,
        });
    }

    /// Records the answer to a request for the log-end offset that was made at `asked_ms`, in ms since boot.
    pub fn ends(&mut self, asked_ms: u64, end: Offset) {
        self.end = Some((asked_ms, end));
    }

    /// Measures the skew by a record of any server.
    pub fn measure_any(&mut self, offset: Offset, append_ms: u64, read: Moment) {
        match self.end {
            Some((asked_ms, end)) if offset >= end => {
                let ago_ms = read.boot_ms.saturating_sub(asked_ms);
                self.measure(read.wall_ms.saturating_sub(ago_ms), append_ms, read);
            }
            // It may be of any age, but not of the future.
            _ if append_ms > read.wall_ms => self.measure(0, append_ms, read),
            _ => {}
        }
    }

    /// This server's clock minus the log's in ms, at least: positive if it is ahead. `None` if there
    /// is no recent measure.
    pub fn at(&self, now: Moment) -> Option<i64> {
        let measured = self.measured?;
        let age_ms = now.boot_ms.saturating_sub(measured.at.boot_ms);
        if u128::from(age_ms) > VALID.as_millis() {
            return None;
        }
        // How far this server's clock was set since then.
        let set_ms = now.offset() - measured.at.offset();
        let (least, most) = (measured.least_ms + set_ms, measured.most_ms + set_ms);
        Some(if least > 0 { least } else { most.min(0) })
    }
}

/// Why the server is not fully useful at these skews of its partitions, and whether it can't send at
/// all.
pub fn judge(skews: &[i64]) -> Option<(String, bool)> {
    let by_size = |skew: &&i64| skew.unsigned_abs();
    let (least, most) = (
        skews.iter().min_by_key(by_size)?,
        skews.iter().max_by_key(by_size)?,
    );
    // If other partitions are in order, it is the clock of a broker that is wrong.
    if least.unsigned_abs() >= REFUSES_MS {
        Some((text(*least), true))
    } else if most.unsigned_abs() >= WARNS_MS {
        Some((text(*most), false))
    } else {
        None
    }
}

fn text(skew_ms: i64) -> String {
    let seconds = skew_ms.unsigned_abs() as f64 / 1_000.0;
    let way = if skew_ms > 0 { "ahead of" } else { "behind" };
    format!(
        "this server's clock is {seconds:.1} s {way} the log's: set the one that is wrong; from {} s \
         on, the server can't send",
        REFUSES_MS / 1_000
    )
}

fn difference(a_ms: u64, b_ms: u64) -> i64 {
    let ms = |ms| i64::try_from(ms).unwrap_or(i64::MAX);
    ms(a_ms) - ms(b_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL_MS: u64 = 1_790_000_000_000;

    /// A moment after `passed_ms`, with a clock that was set by `set_ms`.
    fn moment(passed_ms: u64, set_ms: i64) -> Moment {
        Moment {
            wall_ms: WALL_MS.saturating_add_signed(set_ms) + passed_ms,
            boot_ms: 1_000 + passed_ms,
        }
    }

    /// Measured by a record that took 5 s to come back and was stamped half-way.
    fn skewed(log_ahead_ms: i64) -> ClockSkew {
        let mut skew = ClockSkew::default();
        let append_ms = (WALL_MS + 2_500).saturating_add_signed(log_ahead_ms);
        skew.measure(WALL_MS, append_ms, moment(5_000, 0));
        skew
    }

    #[test]
    fn a_slow_log_is_no_skew_and_a_clock_that_is_off_is() {
        let now = moment(5_000, 0);
        assert_eq!(ClockSkew::default().at(now), None);
        for (log_ahead_ms, shown) in [
            (0, 0),
            (2_000, 0),
            (-2_000, 0),
            (20_000, -17_500),
            (-20_000, 17_500),
        ] {
            assert_eq!(skewed(log_ahead_ms).at(now), Some(shown), "{log_ahead_ms}");
        }
    }

    #[test]
    fn a_clock_that_is_set_shows_at_once_and_a_measure_is_forgotten() {
        let skew = skewed(-70_000);
        assert_eq!(skew.at(moment(60_000, 0)), Some(67_500));
        assert_eq!(skew.at(moment(60_000, -70_000)), Some(0));
        assert_eq!(skewed(0).at(moment(60_000, 30_000)), Some(27_500));
        assert_eq!(skew.at(moment(305_001, 0)), None);
    }

    #[test]
    fn records_of_others_show_a_skew_if_the_log_ended_below_them_before() {
        let skew_of = |ended: Option<Offset>, log_ahead_ms: i64| {
            let mut skew = ClockSkew::default();
            if let Some(end) = ended {
                skew.ends(1_000, end);
            }
            let append_ms = (WALL_MS + 1_500).saturating_add_signed(log_ahead_ms);
            skew.measure_any(7, append_ms, moment(2_000, 0));
            skew.at(moment(2_000, 0))
        };
        for (log_ahead_ms, shown) in [(0, 0), (-70_000, 68_500), (70_000, -69_500)] {
            assert_eq!(skew_of(Some(7), log_ahead_ms), Some(shown));
        }
        // It may have been there for any time: what looks old may be.
        for ended in [None, Some(8)] {
            assert_eq!(skew_of(ended, -70_000), None);
            assert_eq!(skew_of(ended, 70_000), Some(-69_500));
        }
    }

    #[test]
    fn a_server_that_can_not_send_anywhere_is_down() {
        let said =
            |skews: &[i64]| judge(skews).map(|(text, is_down)| (text.contains("20.0 s"), is_down));
        assert_eq!(judge(&[]), None);
        assert_eq!(judge(&[14_999, -14_999, 0]), None);
        assert_eq!(said(&[0, 20_000]), Some((true, false)));
        assert_eq!(said(&[-20_000, -20_000]), Some((true, false)));
        assert_eq!(said(&[70_000, 61_000]), Some((false, true)));
        assert_eq!(said(&[70_000, 0]), Some((false, false)));
        let (text, _) = judge(&[-70_500]).expect("too far");
        assert!(text.contains("70.5 s behind the log's"), "{text}");
    }
}
