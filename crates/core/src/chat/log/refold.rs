//! A second fold of a partition, for an archiver that fell behind the tail.

use std::sync::Arc;

use super::Log;
use super::entry::Entry;
use super::partition_log::{PartitionLog, decode};
use super::stopped::StoppedPartitions;
use super::tail::Budget;
use crate::domain::Partition;
use crate::ports::PortError;
use crate::ports::broker::{LogRecord, Offset};
use crate::ports::history::Mark;

/// A separate fold of one partition, warmed up to a mark. It keeps no tail.
pub struct Refold {
    count: u16,
    partition: Partition,
    state: PartitionLog,
}

impl Refold {
    pub fn new(log: &Log, partition: Partition, mark: Mark) -> Refold {
        // A budget of 0 bytes: entries go straight to the archiver, so the tail keeps nothing.
        let budget = Arc::new(Budget::new(0, 1));
        // Its own: if this fold stops, the archiver stops the partition.
        let stopped = StoppedPartitions::default();
        let hasher = log.hasher().clone();
        let mut state = PartitionLog::new(partition, hasher, budget.clone(), stopped);
        state.warm_up(mark, budget);
        Refold {
            count: log.broker().partitions(),
            partition,
            state,
        }
    }

    /// Whether the warm-up has to be read again from its first offset. Returns true only once.
    pub fn take_rewind(&mut self) -> bool {
        self.state.take_rewind()
    }

    /// Folds records and returns the entries from the mark on.
    pub fn entries(&mut self, records: Vec<LogRecord>) -> Result<Vec<Arc<Entry>>, PortError> {
        let decoded = records
            .into_iter()
            .map(|record| decode(self.partition, self.count, record))
            .collect();
        let (entries, _nobody_waits_here) = self.state.fold(decoded);
        // The archiver has the entries: the tail evicts them all.
        self.state.tail.evict_archived(Offset::MAX, 0);
        match self.state.stopped() {
            Some(reason) => {
                let partition = Some(self.partition);
                Err(PortError::stops("log", partition, reason))
            }
            None => Ok(entries),
        }
    }
}
