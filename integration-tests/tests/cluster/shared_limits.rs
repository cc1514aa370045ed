//! Limits that hold over all servers together.

use std::sync::Arc;
use std::time::Duration;

use integration_tests::cluster::Cluster;
use integration_tests::ws::send_frame;
use integration_tests::{Person, Server, Ws};
use tokio::time::{Instant, sleep, timeout_at};

const PER_SECOND: f64 = 5.0;
const MEASURED: Duration = Duration::from_secs(8);
const BURST_SECONDS: f64 = 5.0;

async fn two(env: &[(&str, &str)]) -> (Arc<Cluster>, [Server; 2]) {
    let cluster = Cluster::fresh().await.expect("a part of the services");
    let a = Server::of(&cluster, env).await;
    let b = Server::of(&cluster, env).await;
    (cluster, [a, b])
}

#[derive(Default)]
struct Sent {
    acked: usize,
    refused: usize,
}

/// Sends one after the other until then, and waits as long as a refusal says.
async fn sends(mut ws: Ws, name: &str, until: Instant) -> Sent {
    let mut sent = Sent::default();
    while Instant::now() < until {
        let frame = send_frame("general", &format!("{name}-{}", sent.acked), "text");
        let Ok(answer) = timeout_at(until, ws.ask(frame)).await else {
            break;
        };
        if answer["type"] == "ack" {
            sent.acked += 1;
            continue;
        }
        let problem = &answer["error"];
        assert_eq!(problem["code"], "rate_limited", "{answer}");
        sent.refused += 1;
        let wait = problem["retry_after_ms"].as_u64().expect("a time");
        let _ = timeout_at(until, sleep(Duration::from_millis(wait))).await;
    }
    sent
}

/// Both send for some seconds; as many are acked as one server would have, within a tenth.
async fn share_a_rate([a, b]: [Ws; 2]) {
    let until = Instant::now() + MEASURED;
    let (a, b) = tokio::join!(sends(a, "a", until), sends(b, "b", until));
    let burst = PER_SECOND * BURST_SECONDS;
    let allowed = PER_SECOND * MEASURED.as_secs_f64() + burst;
    let acked = (a.acked + b.acked) as f64;
    println!("{} and {} acked, of {allowed}", a.acked, b.acked);
    assert!(acked <= allowed * 1.1, "{acked} of {allowed}");
    assert!(
        a.refused + b.refused == 0 || acked >= burst,
        "{acked} of {burst}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_sends_no_faster_over_two_servers() {
    let (_cluster, [a, b]) = two(&[("LAKECHAT_LIMITS__SENDS_PER_USER", "5")]).await;
    let ann = Person::register(&a, "ann").await;
    let sessions = [
        ann.joined(&a, "general").await,
        ann.joined(&b, "general").await,
    ];
    share_a_rate(sessions).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_takes_no_more_from_two_servers() {
    let (_cluster, [a, b]) = two(&[("LAKECHAT_LIMITS__SENDS_PER_CHANNEL", "5")]).await;
    let ann = Person::register(&a, "ann").await;
    let bob = Person::register(&b, "bob").await;
    let sessions = [
        ann.joined(&a, "general").await,
        bob.joined(&b, "general").await,
    ];
    share_a_rate(sessions).await;
}
