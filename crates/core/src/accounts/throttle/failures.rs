//! Consecutive failures by key, and the waits after them.

use std::hash::Hash;
use std::time::{Duration, Instant};

use moka::sync::Cache;

/// The capacity of each cache. Above it, the entries that are used least are evicted.
pub const MOST_ENTRIES: u64 = 100_000;

/// All failures are forgotten after this long without another one.
const FORGET_ALL_AFTER: Duration = Duration::from_secs(3600);

/// The wait after failures. The first ones cause none. From the `free`-th on it is 1 s, doubled
/// with each further failure, up to `longest`.
#[derive(Clone, Copy)]
pub struct Rule {
    pub free: u32,
    pub longest: Duration,
    pub forget_one_after: Duration,
}

impl Rule {
    fn wait_after(&self, failures: u32) -> Option<Duration> {
        let doublings = failures.checked_sub(self.free)?;
        let seconds = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        Some(Duration::from_secs(seconds).min(self.longest))
    }
}

#[derive(Clone, Copy)]
struct Row {
    failures: u32,
    last: Instant,
}

/// Consecutive failures by key.
pub struct Failures<K> {
    rule: Rule,
    rows: Cache<K, Row>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Failures<K> {
    pub fn new(rule: Rule) -> Failures<K> {
        let rows = Cache::builder()
            .max_capacity(MOST_ENTRIES)
            .time_to_live(FORGET_ALL_AFTER)
            .build();
        Failures { rule, rows }
    }

    pub fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let row = self.rows.get(key)?;
        let until = row.last + self.rule.wait_after(row.failures)?;
        Some(until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    pub fn add(&self, key: K, now: Instant) {
        self.rows.entry(key).and_upsert_with(|row| {
            let failures = row.map_or(0, |entry| self.left(entry.into_value(), now));
            Row {
                failures: failures.saturating_add(1),
                last: now,
            }
        });
    }

    fn left(&self, row: Row, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(row.last).as_secs();
        let forgotten = quiet / self.rule.forget_one_after.as_secs();
        row.failures
            .saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    pub fn forget(&self, key: &K) {
        self.rows.invalidate(key);
    }
}
