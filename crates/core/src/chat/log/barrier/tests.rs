use std::sync::atomic::Ordering::SeqCst;

use futures_util::future::join_all;

use super::*;
use crate::chat::log::MemoryBounds;
use crate::chat::log::ending::{End, Ending};

const HERE: Partition = Partition(0);
const THERE: Partition = Partition(1);

/// A barrier over a log that ends at 7, and the task that requests the log-end offsets.
fn barrier() -> (Arc<Barrier>, tokio::task::JoinHandle<()>) {
    barrier_over(Ending::new(&[End::At(7)]))
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
    let log = Ending::new(&[End::At(7)]);
    let (barrier, _asking) = barrier_over(log.clone());
    barrier.log.advance(HERE, 7);
    let began = Instant::now();
    for _ in 0..10 {
        barrier.pass(HERE).await.expect("all is read");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(log.asked.load(SeqCst), 10);

    let reads = (0..100).map(|_| async {
        for _ in 0..10 {
            barrier.pass(HERE).await.expect("all is read");
        }
    });
    join_all(reads).await;
    assert_eq!(log.asked.load(SeqCst), 20);
    assert_eq!(began.elapsed(), 9 * SPACING);
}

#[tokio::test(start_paused = true)]
async fn partition_whose_end_is_unknown_keeps_no_other_from_being_read() {
    let (barrier, _asking) = barrier_over(Ending::new(&[End::Unknown, End::At(7)]));
    barrier.log.advance(THERE, 7);
    let began = Instant::now();
    barrier.pass_running().await;
    barrier.pass(THERE).await.expect("all of it is read");
    let problem = barrier.pass(HERE).await.expect_err("nobody knows its end");
    assert_eq!(problem.code, Code::HistoryUnavailable);
    let unread = barrier.pass_all().await.expect("the other is read");
    assert_eq!(unread, [HERE]);
    assert_eq!(began.elapsed(), Duration::ZERO);
    let (reason, is_all) = barrier.log.stale().expect("one is not fresh");
    let text = "partition 0 is not read up to the log's end: log is not available";
    assert!(reason.starts_with(text) && !is_all, "{reason}");
    assert!(barrier.log.stopped().is_none());
}

#[tokio::test(start_paused = true)]
async fn partition_whose_end_went_back_stops_alone() {
    let (barrier, _asking) = barrier_over(Ending::new(&[End::WentBack, End::At(7)]));
    barrier.log.advance(THERE, 7);
    barrier.pass(THERE).await.expect("all of it is read");
    barrier.pass(HERE).await.expect_err("it is stopped");
    assert!(barrier.log.lock(HERE).stopped().is_some());
    assert!(barrier.log.lock(THERE).stopped().is_none());
    assert_eq!(barrier.pass_all().await.expect("one is read"), [HERE]);
    assert_eq!(barrier.log.stale(), None);
}

#[tokio::test(start_paused = true)]
async fn reads_of_all_partitions_fail_if_none_can_be_read() {
    let (barrier, _asking) = barrier_over(Ending::new(&[End::Unknown, End::At(7)]));
    let problem = barrier.pass_all().await.expect_err("7 is not reached");
    assert_eq!(problem.code, Code::HistoryUnavailable);
}
