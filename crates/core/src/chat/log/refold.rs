//! Folding a partition once more beside the one that serves, for an archiver that fell behind.

use std::sync::Arc;

use super::Log;
use super::entry::Entry;
use super::partition_log::{PartitionLog, decode};
use super::tail::Budget;
use crate::domain::Partition;
use crate::ports::PortError;
use crate::ports::broker::LogRecord;
use crate::ports::history::Mark;

/// A fold of its own, warmed up to a mark; keeps no tail.
pub struct Refold {
    count: u16,
    partition: Partition,
    state: PartitionLog,
}

impl Refold {
    pub fn new(log: &Log, partition: Partition, mark: Mark) -> Refold {
        // Its tail may keep nothing: entries go straight to the archiver.
        let budget = Arc::new(Budget::new(0, 1));
        let mut state = PartitionLog::new(partition, log.hasher().clone(), budget.clone());
        state.warm_up(mark, budget);
        Refold {
            count: log.broker().partitions(),
            partition,
            state,
        }
    }

    /// Whether the warm-up has to be read again from where it began. True once.
    pub fn take_rewind(&mut self) -> bool {
        self.state.take_rewind()
    }

    /// The entries from the mark on.
    pub fn entries(&mut self, records: Vec<LogRecord>) -> Result<Vec<Arc<Entry>>, PortError> {
        let decoded = records
            .into_iter()
            .map(|record| decode(self.partition, self.count, record))
            .collect();
        let (entries, _nobody_waits_here) = self.state.fold(decoded, u64::MAX);
        match self.state.stopped() {
            Some(reason) => {
                let partition = Some(self.partition);
                Err(PortError::stops("log", partition, reason))
            }
            None => Ok(entries),
        }
    }
}
