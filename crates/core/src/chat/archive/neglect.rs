//! Finds partitions that nobody archives although records wait.
//!
//! The server that claims a partition may be unable to archive it, for example because it has stopped
//! the partition, and a claim can't be passed on by itself. Every server has every record, so any of
//! them can stand in. Standing in where it is not needed does no harm: rows depend on the log alone.

use std::collections::HashMap;

use crate::chat::log::Log;
use crate::domain::Partition;
use crate::ports::broker::Offset;

/// After how many readings of the marks, which come once a second, a mark that stands still is
/// neglected. A partition whose server is gone gets another claimant sooner. A client waits longer
/// for its ack of level `persisted`.
const PATIENCE: u32 = 15;

/// Servers wait up to this many more, at random, so that mostly one of them begins.
const SPREAD: u32 = 5;

/// The patience for partitions whose unarchived records are no longer in memory. Reading the log
/// again takes time and memory, on the server that claims the partition too.
const PATIENCE_TO_READ_AGAIN: u32 = 120;

/// The partitions whose marks stand still although records wait.
#[derive(Default)]
pub struct Neglect(HashMap<Partition, Standstill>);

struct Standstill {
    mark: Offset,
    /// At which reading of the marks the standstill was first seen.
    since: u32,
    spread: u32,
}

impl Neglect {
    pub fn forget(&mut self, partition: Partition) {
        self.0.remove(&partition);
    }

    /// Whether a partition that this server reads has waited for an archiver for too long. `reads`:
    /// how many times in a row the marks were read; while history is unavailable, nobody can archive.
    pub fn is_neglected(&mut self, log: &Log, partition: Partition, reads: u32) -> bool {
        let mark = log.mark(partition).offset;
        let state = log.lock(partition);
        if state.stopped().is_some() || !state.has_unarchived(mark) {
            drop(state);
            self.forget(partition);
            return false;
        }
        let in_memory = state.tail.begins_at() <= mark;
        drop(state);
        let standstill = self.0.entry(partition).or_insert_with(|| Standstill {
            mark,
            since: reads,
            spread: rand::random_range(0..=SPREAD),
        });
        if standstill.mark != mark || reads < standstill.since {
            standstill.mark = mark;
            standstill.since = reads;
        }
        let patience = if in_memory {
            PATIENCE
        } else {
            PATIENCE_TO_READ_AGAIN
        };
        reads - standstill.since >= patience + standstill.spread
    }
}
