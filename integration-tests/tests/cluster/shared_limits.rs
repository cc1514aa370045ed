//! Limits that hold over all servers together.

use std::sync::Arc;
use std::time::Duration;

use integration_tests::cluster::Cluster;
use integration_tests::redis_server::{self, RedisServer};
use integration_tests::ws::send_frame;
use integration_tests::{Person, Server, Ws, eventually};
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

/// Opens a session, unless a limit closes it.
async fn opened(server: &Server, who: &Person) -> Option<Ws> {
    let bearer = format!("Bearer {}", who.token());
    let opened = Ws::try_open(server.address(), &[("authorization", &bearer)]).await;
    let mut ws = opened.expect("an upgrade").0;
    if ws.next().await["type"] == "welcome" {
        return Some(ws);
    }
    assert_eq!(ws.closed().await.code, Some(4504));
    None
}

/// Opens sessions on both servers in turn until one is refused.
async fn fill(servers: &[Server; 2], who: &Person) -> Vec<Ws> {
    let mut open = Vec::new();
    for n in 0..100 {
        match opened(&servers[n % 2], who).await {
            Some(ws) => open.push(ws),
            None => return open,
        }
    }
    panic!("a hundred sessions and no limit");
}

async fn limited(name: &str, most: &str) -> (RedisServer, Arc<Cluster>, [Server; 2]) {
    let redis = redis_server::fresh().await.expect("a Redis");
    let url = redis.url();
    let (cluster, servers) = two(&[(name, most), ("LAKECHAT_REDIS__URL", &url)]).await;
    for server in &servers {
        server.part_is("presence", "up").await;
    }
    (redis, cluster, servers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_has_no_more_sessions_over_two_servers_and_each_server_its_own_limit_without_redis() {
    let (mut redis, _cluster, servers) =
        limited("LAKECHAT_LIMITS__CONNECTIONS_PER_USER", "10").await;
    let ann = Person::register(&servers[0], "ann").await;
    let mut open = fill(&servers, &ann).await;
    assert_eq!(open.len(), 10);
    let bob = Person::register(&servers[1], "bob").await;
    assert!(
        opened(&servers[0], &bob).await.is_some(),
        "bob has a limit of his own"
    );

    open.pop().expect("ten").close().await;
    eventually("the place is free", async || {
        opened(&servers[0], &ann).await
    })
    .await;

    redis.kill().await.expect("it runs");
    drop(open);
    servers[0].part_is("presence", "degraded").await;
    servers[1].part_is("presence", "degraded").await;
    eventually("the sessions have ended", async || {
        let sessions = servers[1].http().metric("lakechat_sessions").await;
        (sessions == Some(0)).then_some(())
    })
    .await;
    let mut alone = Vec::new();
    while let Some(ws) = opened(&servers[1], &ann).await {
        alone.push(ws);
    }
    assert_eq!(alone.len(), 10, "of one server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn address_has_no_more_sessions_over_two_servers() {
    let (_redis, _cluster, servers) =
        limited("LAKECHAT_LIMITS__CONNECTIONS_PER_ADDRESS", "40").await;
    let ann = Person::register(&servers[0], "ann").await;
    let open = fill(&servers, &ann).await;
    assert_eq!(open.len(), 40);
    let bob = Person::register(&servers[1], "bob").await;
    assert!(
        opened(&servers[1], &bob).await.is_none(),
        "from the same address"
    );
}
