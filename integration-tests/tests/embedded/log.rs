//! The log of a server, which nothing waits for.

use std::time::Duration;

use integration_tests::{Person, Server};
use rustix::process::Signal;
use tokio::time::timeout;

use crate::MODE;

/// More lines than a pipe takes.
const REQUESTS: usize = 1_000;

#[tokio::test]
async fn stalled_reader_of_the_log_stops_neither_the_service_nor_its_end() {
    let env = [("LAKECHAT_SERVER__DRAIN_SECONDS", "2")];
    let mut server = Server::with(MODE, &env).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    server.stall_log();
    for _ in 0..REQUESTS {
        server.http().get("/me", ann.token()).await.expect(200);
    }
    ws.say("general", "a-1", "still here").await;
    server.http().get("/healthz", "").await.expect(200);
    server.signal(Signal::TERM);
    let ended = timeout(Duration::from_secs(20), server.ended()).await;
    assert_eq!(ended.expect("it doesn't wait").code(), Some(0));
}
