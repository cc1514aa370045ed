use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::watch;

use super::*;
use crate::chat::log::MemoryBounds;
use crate::ports::Broker;
use crate::ports::broker::{
    DeadLetter, DeadLetterListing, LogReader, OutgoingRecord, PublishFailureHandler,
};

/// A log of one partition that only has a log-end offset. It counts how often it was asked.
#[derive(Clone)]
struct Ending(Offset, Arc<AtomicUsize>);

#[async_trait]
impl Broker for Ending {
    fn partitions(&self) -> u16 {
        1
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

    async fn end_offsets(&self) -> Result<Vec<Offset>, PortError> {
        self.1.fetch_add(1, SeqCst);
        Ok(vec![self.0])
    }

    async fn start_offsets(&self) -> Result<Vec<Offset>, PortError> {
        Ok(vec![0])
    }

    async fn offsets_for_times(&self, _: &[(Partition, u64)]) -> Result<Vec<Offset>, PortError> {
        Ok(vec![0])
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

const HERE: Partition = Partition(0);

/// A barrier over a log that ends at 7, and the task that requests the log-end offsets.
fn barrier() -> (Arc<Barrier>, tokio::task::JoinHandle<()>) {
    barrier_over(Ending(7, Arc::default()))
}

fn barrier_over(log: Ending) -> (Arc<Barrier>, tokio::task::JoinHandle<()>) {
    let bounds = MemoryBounds {
        tail_bytes: 0,
        window_bytes: 0,
    };
    let barrier = Barrier::new(Log::new(Arc::new(log), bounds));
    let asking = barrier.clone();
    (barrier, tokio::spawn(async move { asking.run().await }))
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_its_own_fold_up_to_a_deadline() {
    let (barrier, _asking) = barrier();
    barrier.log.advance(HERE, 6);
    let began = Instant::now();
    let problem = barrier.pass(HERE).await.expect_err("6 is not 7");
    assert_eq!(problem.code, Code::HistoryUnavailable);
    assert_eq!(problem.retry_after_ms, Some(1_000));
    assert_eq!(began.elapsed().as_secs(), DEADLINE.as_secs());
    barrier.log.advance(HERE, 7);
    barrier.pass(HERE).await.expect("all is read");
}

#[tokio::test(start_paused = true)]
async fn a_start_takes_as_long_as_the_log_takes_to_be_read() {
    let (barrier, _asking) = barrier();
    let mut start = std::pin::pin!(barrier.pass_running());
    for position in [0, 3, 6] {
        barrier.log.advance(HERE, position);
        let waited = timeout(100 * DEADLINE, start.as_mut()).await;
        waited.expect_err("more is to be read");
    }
    barrier.log.advance(HERE, 7);
    start.await;
}

#[tokio::test(start_paused = true)]
async fn a_start_does_not_wait_for_a_partition_that_is_stopped() {
    let (barrier, _asking) = barrier();
    let mut start = std::pin::pin!(barrier.pass_running());
    let waited = timeout(DEADLINE / 2, start.as_mut()).await;
    waited.expect_err("more is to be read");
    barrier.log.lock(HERE).stop("the test wants it".into());
    start.await;
}

#[tokio::test(start_paused = true)]
async fn requests_for_many_reads_are_spaced_and_those_for_few_are_not() {
    let log = Ending(7, Arc::default());
    let (barrier, _asking) = barrier_over(log.clone());
    barrier.log.advance(HERE, 7);
    let began = Instant::now();
    for _ in 0..10 {
        barrier.pass(HERE).await.expect("all is read");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(log.1.load(SeqCst), 10);

    let reads = (0..100).map(|_| async {
        for _ in 0..10 {
            barrier.pass(HERE).await.expect("all is read");
        }
    });
    join_all(reads).await;
    assert_eq!(log.1.load(SeqCst), 20);
    assert_eq!(began.elapsed(), 9 * SPACING);
}
