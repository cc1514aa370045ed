//! SIGKILL while people send: what was acked is there, once, under the id that the ack said.

use std::time::Duration;

use integration_tests::traffic::Traffic;
use integration_tests::{Server, within};
use rand::RngExt;

use crate::MODE;

const KILLS: usize = 10;
const SENDERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_at_random_moments_lose_nothing_acked_and_double_nothing() {
    let mut server = Server::start(MODE).await;
    let traffic = Traffic::begin(&[&server], SENDERS, Duration::from_millis(1)).await;
    for _ in 0..KILLS {
        let moment = rand::rng().random_range(100..1_500);
        // The moment of a kill is what this test varies; nothing tells it.
        tokio::time::sleep(Duration::from_millis(moment)).await;
        server.kill_9().await;
        server.restart().await;
    }
    within(traffic.settle(&[&server])).await;
}
