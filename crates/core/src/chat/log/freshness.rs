//! Whether this server's fold is up to date with the log.

use crate::chat::clock::boot_ms;
use crate::ports::broker::Offset;

/// Sends are refused unless the fold has passed a log-end offset that was requested within this
/// time.
pub const STALE_MS: u64 = 10_000;

/// The requests for the log-end offset that the fold has passed or has yet to pass.
#[derive(Debug, Default)]
pub struct Freshness {
    position: Offset,
    /// When the last request was made whose answer the fold has passed, ms since boot.
    passed_ms: Option<u64>,
    /// The oldest request whose answer the fold has not passed: when it was made, and the answer.
    open: Option<(u64, Offset)>,
    /// Why the latest request failed, if it did.
    failure: Option<String>,
}

impl Freshness {
    /// Records that the fold has passed everything below an offset.
    pub fn passed(&mut self, position: Offset) {
        self.position = self.position.max(position);
        if let Some((asked_ms, end)) = self.open
            && self.position >= end
        {
            self.passed_ms = Some(asked_ms);
            self.open = None;
        }
    }

    /// Records the answer to a request that was made at `asked_ms`, in ms since boot.
    pub fn answered(&mut self, asked_ms: u64, end: Offset) {
        self.failure = None;
        if self.position >= end {
            self.passed_ms = self.passed_ms.max(Some(asked_ms));
        } else if self.open.is_none() {
            // Only the oldest one is kept: the fold reaches it first.
            self.open = Some((asked_ms, end));
        }
    }

    /// Records that the latest request failed. Returns whether the one before did not.
    pub fn failed(&mut self, reason: String) -> bool {
        self.failure.replace(reason).is_none()
    }

    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether the fold has passed a log-end offset that was requested within [`STALE_MS`].
    pub fn is_fresh(&self) -> bool {
        self.is_fresh_at(boot_ms())
    }

    fn is_fresh_at(&self, now_ms: u64) -> bool {
        self.passed_ms
            .is_some_and(|asked| now_ms.saturating_sub(asked) <= STALE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fresh_for_ten_seconds_after_a_question_whose_answer_was_passed() {
        let mut f = Freshness::default();
        f.passed(5);
        assert!(!f.is_fresh_at(0));
        f.answered(1_000, 5);
        assert!(f.is_fresh_at(11_000) && !f.is_fresh_at(11_001));
        f.answered(9_000, 7);
        f.answered(10_000, 9);
        assert!(!f.is_fresh_at(11_001));
        f.passed(7);
        assert!(f.is_fresh_at(19_000) && !f.is_fresh_at(19_001));
    }
}
