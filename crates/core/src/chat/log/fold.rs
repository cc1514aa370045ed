//! The fold: it gives every record an id and a verdict, from the log alone.
//!
//! A [`Fold`] takes one partition's records in offset order. It does no I/O and has no clock of its
//! own, so every fold of the same records gives the same results. The hub, the archiver, the tail
//! and the ack depend on these results.

mod window;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use crate::domain::{Id, Partition, id};

use super::record::{Body, Record};
pub use window::{Key, KeyHasher, Window, WindowMatch};

/// A record is late if its `received_at` and its append time differ by more than this, either way.
pub const LATE_MS: u64 = 60_000;

/// How long a record stays in the window, measured by append times: the five minutes in which a
/// client may retry, plus twice what lateness and skew can add.
pub const WINDOW_MS: u64 = 600_000;

/// How far below the mark's time a starting reader begins, so that from the mark on it decides like
/// a reader of the whole log. One window holds the records that the verdicts at the mark depend on.
/// A second one holds the records that *their* verdicts depend on. The minute covers lateness.
pub const WARM_UP_MS: u64 = 2 * WINDOW_MS + 60_000;

/// What the fold decides about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The record takes effect.
    Accepted,
    /// A retry: the record with this id has the same key and content.
    Repeat(Id),
    /// The record with this id has the same `client_msg_id`, but other content.
    Conflict(Id),
    /// A retry whose first try has left the window, so that its outcome is unknown.
    Expired,
    /// Its target was deleted by an earlier record.
    Deleted,
    /// Its `received_at` is more than [`LATE_MS`] from its append time.
    Late,
    /// The value can't be decoded as a record.
    Unreadable,
}

impl Verdict {
    /// The name of the verdict in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::Repeat(_) => "repeat",
            Verdict::Conflict(_) => "conflict",
            Verdict::Expired => "expired",
            Verdict::Deleted => "deleted",
            Verdict::Late => "late",
            Verdict::Unreadable => "unreadable",
        }
    }

    /// Whether every reader ignores the record. It uses up an id, but it doesn't set the clock and
    /// doesn't enter the window.
    pub fn is_late(self) -> bool {
        matches!(self, Verdict::Late | Verdict::Unreadable)
    }
}

/// One partition's state: the clock that ids are minted from, and the window.
#[derive(Debug)]
pub struct Fold {
    partition: Partition,
    /// The time of the id minted last, ms since 1970.
    clock_ms: u64,
    step: u16,
    window: Window,
}

impl Fold {
    /// Starts at the beginning of a log, or later. `last`: the id minted last before that place.
    pub fn new(partition: Partition, last: Id, hasher: KeyHasher) -> Fold {
        let window = Window::new(hasher);
        Fold {
            partition,
            clock_ms: last.ms(),
            step: last.step(),
            window,
        }
    }

    /// The id minted last.
    pub fn last_id(&self) -> Id {
        Id::mint(self.clock_ms, self.partition, self.step)
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Folds the next record of the log. `None`: the record is unreadable.
    pub fn next(&mut self, append_ms: u64, record: Option<&Record>) -> (Id, Verdict) {
        let Some(record) = record else {
            return (self.mint(self.clock_ms), Verdict::Unreadable);
        };
        if record.received_at_ms.abs_diff(append_ms) > LATE_MS {
            return (self.mint(self.clock_ms), Verdict::Late);
        }
        let id = self.mint(append_ms.max(self.clock_ms));
        // Evict first: entries older than one window must not decide about this record.
        self.window.evict(append_ms);
        let key = self.key(record);
        let verdict = self.judge(key, record);
        self.window.push(append_ms, id, key, record);
        (id, verdict)
    }

    fn key(&self, record: &Record) -> Option<Key> {
        let client_msg_id = record.client_msg_id.as_ref()?;
        let (channel, sender) = (&record.channel, &record.sender);
        Some(self.window.key(channel, sender, client_msg_id))
    }

    fn judge(&self, key: Option<Key>, record: &Record) -> Verdict {
        // The key decides before the target: the retry of an accepted edit is a repeat, even if the
        // message was deleted in the meantime.
        let found = key.map_or(WindowMatch::Unknown, |key| {
            self.window.lookup(key, record.digest)
        });
        match found {
            WindowMatch::Same(id) => Verdict::Repeat(id),
            WindowMatch::Other(id) => Verdict::Conflict(id),
            WindowMatch::TooOld => Verdict::Expired,
            WindowMatch::Unknown => match record.body {
                Body::Edit { target, .. }
                | Body::Delete { target }
                | Body::React { target, .. }
                    if self.window.is_deleted(record.channel.as_str(), target) =>
                {
                    Verdict::Deleted
                }
                _ => Verdict::Accepted,
            },
        }
    }

    fn mint(&mut self, ms: u64) -> Id {
        if ms > self.clock_ms {
            self.step = 0;
        } else if self.step < id::MAX_STEP {
            self.step += 1;
        } else {
            // All steps of this millisecond are used: continue in the next one.
            self.clock_ms += 1;
            self.step = 0;
        }
        self.clock_ms = self.clock_ms.max(ms);
        self.last_id()
    }
}
