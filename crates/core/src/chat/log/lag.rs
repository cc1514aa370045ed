//! How long records have waited for history, compared with the log's retention.

use std::time::Duration;

/// The fraction of the log's retention after which a waiting record raises an alarm.
const ALARMS: (u64, u64) = (1, 2);
/// The fraction after which sends are refused, so that the log never deletes unarchived records.
const REFUSES: (u64, u64) = (9, 10);

#[derive(Debug, Default)]
pub struct Lag {
    /// The append time of the oldest unarchived record, ms since 1970. If that record is no longer
    /// in memory, a time before it.
    since_ms: Option<u64>,
    waits: Duration,
    kept: Option<Duration>,
}

impl Lag {
    /// Records that every record is archived.
    pub fn end(&mut self) {
        self.since_ms = None;
        self.waits = Duration::ZERO;
    }

    /// Measures the wait. `oldest_ms`: the append time of the oldest waiting record, if it is in
    /// memory. `at_least_ms`: a time before it, or 0 if unknown. `kept`: the log's retention.
    pub fn update(
        &mut self,
        oldest_ms: Option<u64>,
        at_least_ms: u64,
        now_ms: u64,
        kept: Option<Duration>,
    ) {
        let unseen = if at_least_ms > 0 { at_least_ms } else { now_ms };
        let before = || self.since_ms.unwrap_or(unseen).max(at_least_ms);
        let since_ms = oldest_ms.unwrap_or_else(before);
        self.since_ms = Some(since_ms);
        self.waits = Duration::from_millis(now_ms.saturating_sub(since_ms));
        self.kept = kept;
    }

    /// Why an operator has to act, if the log may lose unarchived records.
    pub fn alarm(&self) -> Option<String> {
        let kept = self.over(ALARMS)?;
        Some(format!(
            "records appended {} min ago are not archived yet, and the log keeps records for {} min: \
             find out what blocks the archiver before they expire",
            self.waits.as_secs() / 60,
            kept.as_secs() / 60
        ))
    }

    pub fn refuses(&self) -> bool {
        self.over(REFUSES).is_some()
    }

    fn over(&self, (part, of): (u64, u64)) -> Option<Duration> {
        let kept = self.kept?;
        let longest = kept.as_millis() * u128::from(part) / u128::from(of);
        (self.waits.as_millis() > longest).then_some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Option<Duration> = Some(Duration::from_secs(6_000));

    fn waiting(ms: u64, kept: Option<Duration>) -> (bool, bool) {
        let mut lag = Lag::default();
        lag.update(Some(10_000_000), 0, 10_000_000 + ms, kept);
        (lag.alarm().is_some(), lag.refuses())
    }

    #[test]
    fn alarm_comes_at_half_of_the_time_and_refusal_before_its_end() {
        assert_eq!(waiting(3_000_000, KEPT), (false, false));
        assert_eq!(waiting(3_000_001, KEPT), (true, false));
        assert_eq!(waiting(5_400_000, KEPT), (true, false));
        assert_eq!(waiting(5_400_001, KEPT), (true, true));
        assert_eq!(waiting(u64::MAX / 2, None), (false, false));
    }

    #[test]
    fn what_is_no_longer_in_memory_waits_on() {
        let mut lag = Lag::default();
        lag.update(Some(1_000), 500, 2_000, KEPT);
        lag.update(None, 500, 4_000_000, KEPT);
        assert!(lag.alarm().is_some());
        // The mark has moved on to a later record.
        lag.update(None, 3_999_000, 4_000_000, KEPT);
        assert_eq!(lag.alarm(), None);
        lag.end();
        assert!(!lag.refuses());
    }

    #[test]
    fn backlog_that_was_never_in_memory_waits_since_the_mark() {
        let mut lag = Lag::default();
        lag.update(None, 500, 4_000_000, KEPT);
        assert!(lag.alarm().is_some());
        let mut unmarked = Lag::default();
        unmarked.update(None, 0, 4_000_000, KEPT);
        assert_eq!(unmarked.alarm(), None);
    }
}
