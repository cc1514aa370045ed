//! The health of the log: whether it is stopped, stale, or not archived.

use std::sync::atomic::Ordering::Relaxed;

use super::{Log, skew};
use crate::chat::clock::boot_ms;
use crate::domain::Partition;
use crate::ports::PortError;
use crate::ports::broker::Offset;

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

    /// Why sends are refused, if this server's fold is not up to date.
    pub fn stale(&self) -> Option<String> {
        self.stale_at(boot_ms())
    }

    /// Like [`Log::stale`], at a given time in ms since boot.
    pub fn stale_at(&self, now_ms: u64) -> Option<String> {
        let unread_ms = now_ms.saturating_sub(self.read_ms.load(Relaxed));
        if unread_ms > HUNG_MS {
            let seconds = unread_ms / 1000;
            return Some(format!(
                "the log's reader hangs: it has asked for nothing for {seconds} s; restart this server"
            ));
        }
        let stale = self
            .running()
            .find(|p| !self.lock(*p).freshness.is_fresh())?;
        let behind = format!("partition {stale} is not read up to the log's end");
        Some(
            match &*self.last_end_error.lock().expect("no panic while held") {
                Some(error) => format!("{behind}: {error}"),
                None => behind,
            },
        )
    }

    /// Records the result of a request for the log-end offsets that was made at `asked_ms`, in ms
    /// since boot.
    pub fn note_end_offsets(&self, asked_ms: u64, answer: Result<&[Offset], &PortError>) {
        for (partition, end) in self.partitions().zip(answer.unwrap_or_default()) {
            self.lock(partition).freshness.answered(asked_ms, *end);
        }
        let error = answer.err().map(PortError::to_string);
        *self.last_end_error.lock().expect("no panic while held") = error;
    }

    /// Why the log may lose unarchived records, if the archive lags that far behind.
    pub fn archive_late(&self) -> Option<String> {
        self.running().find_map(|p| {
            let alarm = self.lock(p).lag.alarm()?;
            Some(format!("partition {p}: {alarm}"))
        })
    }

    /// Why this server's clock is a trouble, if it is known to be that far from the log's, and whether
    /// the server can't send at all.
    pub fn clock_skew(&self) -> Option<(String, bool)> {
        skew::judge(&self.skews())
    }

    /// The skews of the partitions in which this server has published recently.
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
