//! The partitions that are stopped on this server, and the refusal that their channels' users get.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::{Code, Partition, Problem};

/// The partitions that are stopped on this server. None ever leaves the set: only a restart reads a
/// stopped partition again. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StoppedPartitions(Arc<watch::Sender<BTreeSet<Partition>>>);

impl StoppedPartitions {
    pub fn add(&self, partition: Partition) {
        self.0.send_if_modified(|stopped| stopped.insert(partition));
    }

    pub fn contains(&self, partition: Partition) -> bool {
        self.0.borrow().contains(&partition)
    }

    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    pub fn subscribe(&self) -> watch::Receiver<BTreeSet<Partition>> {
        self.0.subscribe()
    }
}

/// The problem of a read or join of a channel in a stopped partition. `reason`: why it is
/// stopped.
pub fn unreadable(reason: String) -> Problem {
    let text = "This server has stopped reading this channel's part of the log, and an operator has \
                to resolve it. Another server may still serve the channel: reconnect to reach one.";
    Problem::new(Code::HistoryUnavailable, text)
        .retry_after_ms(5_000)
        .cause(reason)
}
