//! How the log does: whether it is stopped, up to date, archived.

use std::sync::atomic::Ordering::Relaxed;

use super::Log;
use crate::chat::clock::boot_ms;
use crate::ports::PortError;
use crate::ports::broker::Offset;

/// A reader that asked nothing for so long hangs: all of its calls have deadlines below.
const HUNG_MS: u64 = 30_000;

impl Log {
    pub(super) fn gauge(&self) {
        let bytes = |p| self.lock(p).tail.bytes();
        let tail: usize = self.partitions().map(bytes).sum();
        metrics::gauge!("lakechat_tail_bytes").set(tail as f64);
        let window = self.window_bytes.load(Relaxed);
        metrics::gauge!("lakechat_window_bytes").set(window as f64);
        metrics::gauge!("lakechat_archive_lag_records").set(self.lag() as f64);
    }

    /// Why the log or a partition of it is stopped, if any is: an operator has to look.
    pub fn stopped(&self) -> Option<String> {
        let fault = self.broker.fault();
        fault.or_else(|| {
            self.partitions()
                .find_map(|p| self.lock(p).stopped().map(str::to_owned))
        })
    }

    /// Why sends are refused, if the own fold is not up to date.
    pub fn stale(&self) -> Option<String> {
        self.stale_at(boot_ms())
    }

    /// The same at some time since boot.
    pub fn stale_at(&self, now_ms: u64) -> Option<String> {
        let unread_ms = now_ms.saturating_sub(self.read_ms.load(Relaxed));
        if unread_ms > HUNG_MS {
            let seconds = unread_ms / 1000;
            return Some(format!(
                "the log's reader hangs: it has asked for nothing for {seconds} s; restart this server"
            ));
        }
        let stale = self
            .partitions()
            .find(|p| !self.lock(*p).freshness.is_fresh())?;
        let behind = format!("partition {stale} is not read up to the log's end");
        Some(
            match &*self.last_end_error.lock().expect("no panic while held") {
                Some(error) => format!("{behind}: {error}"),
                None => behind,
            },
        )
    }

    /// Takes in what came of a question for the log's end that was asked at a time.
    pub fn end_was_asked(&self, asked_ms: u64, answer: Result<&[Offset], &PortError>) {
        for (partition, end) in self.partitions().zip(answer.unwrap_or_default()) {
            self.lock(partition).freshness.answered(asked_ms, *end);
        }
        let error = answer.err().map(PortError::to_string);
        *self.last_end_error.lock().expect("no panic while held") = error;
    }

    /// Why the log may lose what history does not have, if the archive lags so far.
    pub fn archive_late(&self) -> Option<String> {
        self.partitions().find_map(|p| {
            let alarm = self.lock(p).lag.alarm()?;
            Some(format!("partition {p}: {alarm}"))
        })
    }

    /// Notes that the reader polls the log, whether or not that succeeds.
    pub fn note_read_attempt(&self) {
        self.read_ms.store(boot_ms(), Relaxed);
    }

    /// Why a partition is not archived any more, if one is not.
    pub fn archive_stopped(&self) -> Option<String> {
        self.partitions()
            .find_map(|p| self.lock(p).archive_stopped.clone())
    }

    /// How many records were folded and are not in history, those among them that the tails let go of.
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
