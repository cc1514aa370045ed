//! What the log decides: an id and a verdict for every record, from the log alone.
//!
//! A [`Fold`] sees one partition's records in offset order. It does no I/O and has no clock of its
//! own, so whoever folds the same records comes to the same conclusions. The hub, the archiver, the
//! tail and the ack all go by it.

mod window;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use crate::domain::{Id, Partition, id};

use super::record::{Body, Record};
pub use window::{Key, KeyHasher, Window, WindowMatch};

/// A record whose `received_at` is further than this from its append time, either way, is late.
pub const LATE_MS: u64 = 60_000;

/// How long a record stands in the window, by append times: the five minutes in which a retry is
/// harmless plus twice what lateness and skew can add.
pub const WINDOW_MS: u64 = 600_000;

/// How far below the mark's time a reader that starts has to begin, so that at the mark it decides
/// as those do who read all along: a window for what is judged, a window for what that stood on,
/// and a minute for lateness.
pub const WARM_UP_MS: u64 = 2 * WINDOW_MS + 60_000;

/// What the log says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It happened.
    Accepted,
    /// The same was sent before, and has this id.
    Repeat(Id),
    /// Something else was sent before under the same `client_msg_id`, and has this id.
    Conflict(Id),
    /// A retry whose first try is too old to tell what became of it.
    Expired,
    /// Its target was deleted before it.
    Deleted,
    /// It stood too long between its server and the log.
    Late,
    /// No record at all.
    Unreadable,
}

impl Verdict {
    /// The name in metrics.
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

    /// Whether the record is void for everybody: it moves no clock and does not stand in the window.
    pub fn is_late(self) -> bool {
        matches!(self, Verdict::Late | Verdict::Unreadable)
    }
}

/// One partition's state: the clock that ids are minted from, and the window.
#[derive(Debug)]
pub struct Fold {
    partition: Partition,
    /// ms since 1970 of the id minted last.
    clock_ms: u64,
    step: u16,
    window: Window,
}

impl Fold {
    /// At the beginning of a log, or anywhere in it behind the id minted last there.
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

    /// The next record of the log: `None` for one that is unreadable.
    pub fn next(&mut self, append_ms: u64, record: Option<&Record>) -> (Id, Verdict) {
        let Some(record) = record else {
            return (self.mint(self.clock_ms), Verdict::Unreadable);
        };
        if record.received_at_ms.abs_diff(append_ms) > LATE_MS {
            return (self.mint(self.clock_ms), Verdict::Late);
        }
        let id = self.mint(append_ms.max(self.clock_ms));
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
        let found = key.map_or(WindowMatch::Unknown, |key| {
            self.window.look(key, record.digest)
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
            self.clock_ms += 1;
            self.step = 0;
        }
        self.clock_ms = self.clock_ms.max(ms);
        self.last_id()
    }
}
