//! The health of the log: whether it is stopped, stale, or not archived.

use std::sync::atomic::Ordering::Relaxed;

use super::{Log, PartitionLog, skew};
use crate::chat::clock::boot_ms;
use crate::domain::Partition;
use crate::ports::broker::Offset;
use crate::ports::{PerPartition, PortError};

/// A reader that hasn't polled for this long hangs. Each of its calls has a shorter deadline.
const HUNG_MS: u64 = 30_000;

impl Log {
    pub(super) fn gauge(&self) {
        let bytes = |p| self.lock(p).tail.bytes();
        let tail: usize = self.partitions().map(bytes).sum();
        metrics::gauge!("lakechat_tail_bytes").set(tail as f64);
        let window = self.window_bytes.load(Relaxed);
        metrics::gauge!("lakechat_window_bytes").set(window as f64);
        metrics::gauge!("lakechat_archive_lag_records").set(self.lag() as f64);
        let furthest = self.skews().into_iter().max_by_key(|ms| ms.unsigned_abs());
        metrics::gauge!("lakechat_clock_skew_seconds").set(furthest.unwrap_or(0) as f64 / 1_000.0);
        metrics::gauge!("lakechat_partitions_stopped").set(self.stopped.count() as f64);
    }

    /// Why the whole log is stopped, if it is. An operator has to act.
    pub fn all_stopped(&self) -> Option<String> {
        let all = self.stopped.count() == usize::from(self.broker.partitions());
        let stopped = || self.stopped().filter(|_| all);
        self.broker.fault().or_else(stopped)
    }

    /// Why a partition is stopped, if one is, and how many are. An operator has to act.
    pub fn stopped(&self) -> Option<String> {
        let reason = self
            .partitions()
            .find_map(|p| self.lock(p).stopped().map(str::to_owned))?;
        Some(match self.stopped.count() {
            0 | 1 => reason,
            count => {
                let all = self.broker.partitions();
                format!("{reason} ({count} of {all} partitions are stopped)")
            }
        })
    }

    /// The partitions that are not stopped.
    fn running(&self) -> impl Iterator<Item = Partition> {
        self.partitions()
            .filter(|partition| !self.stopped.contains(*partition))
    }

    /// What is wrong with running partitions, and whether it is wrong with all of them.
    fn trouble(&self, of: impl Fn(&PartitionLog) -> Option<String>) -> Option<(String, bool)> {
        let (mut running, mut first, mut count) = (0, None, 0);
        for partition in self.running() {
            running += 1;
            if let Some(reason) = of(&self.lock(partition)) {
                first.get_or_insert(format!("partition {partition}{reason}"));
                count += 1;
            }
        }
        let reason = match count {
            0 | 1 => first?,
            count => format!("{} ({count} of {running} partitions)", first?),
        };
        Some((reason, count == running))
    }

    /// Why sends are refused, if this server's fold is not up to date, and whether all partitions are
    /// concerned.
    pub fn stale(&self) -> Option<(String, bool)> {
        self.stale_at(boot_ms())
    }

    /// Like [`Log::stale`], at a given time in ms since boot.
    pub fn stale_at(&self, now_ms: u64) -> Option<(String, bool)> {
        let unread_ms = now_ms.saturating_sub(self.read_ms.load(Relaxed));
        if unread_ms > HUNG_MS {
            let seconds = unread_ms / 1000;
            let reason = format!(
                "the log's reader hangs: it has asked for nothing for {seconds} s; restart this server"
            );
            return Some((reason, true));
        }
        self.trouble(|state| {
            let behind = " is not read up to the log's end";
            let reason = |failure| format!("{behind}: {failure}");
            let stale = !state.freshness.is_fresh();
            stale.then(|| state.freshness.failure().map_or(behind.into(), reason))
        })
    }

    /// Records the result of a request for the log-end offsets that was made at `asked_ms`, in ms
    /// since boot.
    pub fn note_end_offsets(
        &self,
        asked_ms: u64,
        answer: Result<&PerPartition<Offset>, &PortError>,
    ) {
        for partition in self.partitions() {
            match answer.and_then(|ends| ends.get(partition)) {
                Ok(end) => {
                    let mut state = self.lock(partition);
                    state.freshness.answered(asked_ms, *end);
                    state.skew.ends(asked_ms, *end);
                }
                Err(error @ PortError::Stops { .. }) => self.stop(partition, error.to_string()),
                Err(error) => {
                    let is_first = self.lock(partition).freshness.failed(error.to_string());
                    // A failure of all is reported by the caller.
                    if is_first && answer.is_ok() {
                        let partition = partition.0;
                        tracing::warn!(partition, %error, "cannot get a partition's end offset");
                    }
                }
            }
        }
    }

    /// Why the log may lose unarchived records, if the archive lags that far behind, and whether that is so
    /// in all partitions.
    pub fn archive_late(&self) -> Option<(String, bool)> {
        self.trouble(|state| Some(format!(": {}", state.lag.alarm()?)))
    }

    /// Why this server's clock is a trouble, if it is known to be that far from the log's, and whether
    /// the server can't send at all.
    pub fn clock_skew(&self) -> Option<(String, bool)> {
        skew::judge(&self.skews())
    }

    /// The skews of the partitions whose records have shown one recently.
    fn skews(&self) -> Vec<i64> {
        let now = self.moment();
        self.running()
            .filter_map(|p| self.lock(p).skew.at(now))
            .collect()
    }

    /// Records that the reader polls the log, whether or not the poll succeeds.
    pub fn note_read_attempt(&self) {
        self.read_ms.store(boot_ms(), Relaxed);
    }

    /// Why a partition is not archived, if one is not.
    pub fn archive_stopped(&self) -> Option<String> {
        self.partitions()
            .find_map(|p| self.lock(p).archive_stopped.clone())
    }

    /// How many folded records are not in history, including those that the tails have evicted.
    pub fn lag(&self) -> u64 {
        let of = |p| {
            let archived = self.mark(p).offset;
            let tail = &self.lock(p).tail;
            let dropped = tail.begins_at().saturating_sub(archived);
            dropped + tail.count_from(archived) as u64
        };
        self.partitions().map(of).sum()
    }
}
