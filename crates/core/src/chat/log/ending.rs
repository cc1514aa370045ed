//! A log for tests that has no records.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::domain::Partition;
use crate::ports::broker::{
    DeadLetter, DeadLetterListing, LogReader, Offset, OutgoingRecord, PublishFailureHandler,
};
use crate::ports::{Broker, PerPartition, PortError};

/// What the log says about the end of a partition.
#[derive(Clone, Copy)]
pub(super) enum End {
    At(Offset),
    Unknown,
    WentBack,
}

/// A log that only has log-end offsets. It counts how often it was asked for them.
#[derive(Clone)]
pub(super) struct Ending {
    ends: Arc<Mutex<Vec<End>>>,
    pub asked: Arc<AtomicUsize>,
}

impl Ending {
    pub fn new(ends: &[End]) -> Ending {
        Ending {
            ends: Arc::new(Mutex::new(ends.to_vec())),
            asked: Arc::default(),
        }
    }

    pub fn set(&self, partition: Partition, end: End) {
        self.ends.lock().expect("no panic while held")[partition.index()] = end;
    }

    fn edges(&self, edge: impl Fn(Offset) -> Offset) -> PerPartition<Offset> {
        let ends = self.ends.lock().expect("no panic while held").clone();
        let answer = |(partition, end)| match end {
            End::At(end) => Ok(edge(end)),
            End::Unknown => Err(PortError::unavailable("log", "it has no leader")),
            End::WentBack => Err(PortError::stops(
                "log",
                Some(partition),
                "its end went back",
            )),
        };
        (0..).map(Partition).zip(ends).map(answer).collect()
    }
}

#[async_trait]
impl Broker for Ending {
    fn partitions(&self) -> u16 {
        self.ends.lock().expect("no panic while held").len() as u16
    }

    fn now_ms(&self) -> u64 {
        0
    }

    fn on_publish_failure(&self, _: PublishFailureHandler) {}

    fn publish(&self, _: OutgoingRecord) -> Result<(), PortError> {
        unreachable!("nothing is sent here")
    }

    fn reader(&self, _: &[(Partition, Offset)]) -> Result<Box<dyn LogReader>, PortError> {
        unreachable!("the test says how far the log was read")
    }

    async fn end_offsets(&self) -> Result<PerPartition<Offset>, PortError> {
        self.asked.fetch_add(1, SeqCst);
        Ok(self.edges(|end| end))
    }

    async fn start_offsets(&self) -> Result<PerPartition<Offset>, PortError> {
        Ok(self.edges(|_| 0))
    }

    async fn offsets_for_times(
        &self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Result<Offset, PortError>>, PortError> {
        Ok(times.iter().map(|_| Ok(0)).collect())
    }

    fn assigned_partitions(&self) -> watch::Receiver<Vec<Partition>> {
        watch::Sender::default().subscribe()
    }

    async fn dead_letter(&self, _: &[DeadLetter]) -> Result<(), PortError> {
        unreachable!("nothing is stored here")
    }

    async fn dead_letters(&self) -> Result<DeadLetterListing, PortError> {
        unreachable!("nothing is stored here")
    }
}
