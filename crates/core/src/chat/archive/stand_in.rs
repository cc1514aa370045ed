//! Finds partitions that no server archives although records wait.
//!
//! The server that claims a partition may be unable to archive it, for example because it has stopped
//! the partition, and a claim can't be passed on by itself. Every server has every record, so any of
//! them can stand in. Standing in where it is not needed does no harm: rows depend on the log alone.

use std::collections::HashMap;

use crate::chat::log::Log;
use crate::domain::Partition;
use crate::ports::broker::Offset;

/// The number of readings of the marks, one a second, after which another server archives a partition
/// whose mark does not advance. If the server that claims it has stopped, Kafka reassigns it sooner. A
/// client waits longer for its ack of level `persisted`.
const MAX_STANDSTILL: u32 = 15;

/// Servers wait up to this many more, at random, so that mostly one of them begins.
const SPREAD: u32 = 5;

/// The same for partitions whose unarchived records are no longer in memory. Reading the log
/// again takes time and memory, on the server that claims the partition too.
const MAX_STANDSTILL_ON_DISK: u32 = 120;

/// The partitions whose marks don't advance although records wait.
#[derive(Default)]
pub struct UnarchivedPartitions(HashMap<Partition, Standstill>);

struct Standstill {
    mark: Offset,
    /// At which reading of the marks the standstill was first seen.
    since: u32,
    spread: u32,
}

impl UnarchivedPartitions {
    pub fn forget(&mut self, partition: Partition) {
        self.0.remove(&partition);
    }

    /// Notes the current mark of a partition that this server reads. Returns whether it has waited for
    /// an archiver for too long, so that this server should archive it. `reads`: how many times in a row
    /// the marks were read; while history is unavailable, no server can archive.
    pub fn note_reading(&mut self, log: &Log, partition: Partition, reads: u32) -> bool {
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
        let longest = if in_memory {
            MAX_STANDSTILL
        } else {
            MAX_STANDSTILL_ON_DISK
        };
        reads - standstill.since >= longest + standstill.spread
    }
}
