//! Clients that are silent, too many or too big.

use std::time::Duration;

use super::demo::{Demo, until};

const PING: &str = "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn silent_slow_and_idle_clients_are_closed() {
    let demo = Demo::with(|s| s.header_timeout = Duration::from_millis(100)).await;
    let mut silent = demo.connect().await;
    let mut slow = demo.connect().await;
    slow.send("GET /ping HTTP/1.1\r\nHost:").await;
    let mut idle = demo.connect().await;
    idle.ask(PING).await.is("pong");
    silent.is_closed().await;
    slow.is_closed().await;
    idle.is_closed().await;
}

#[tokio::test]
async fn over_the_connection_limit_one_waits_until_another_leaves() {
    let demo = Demo::with(|s| s.max_connections = 2).await;
    let mut first = demo.connect().await;
    let mut second = demo.connect().await;
    first.ask(PING).await.is("pong");
    second.ask(PING).await.is("pong");
    let mut third = demo.connect().await;
    third.send(PING).await;
    first.ask(PING).await.is("pong");
    assert_eq!((demo.pings(), demo.free_slots()), (3, 0));
    drop(first);
    third.answer().await.is("pong");
}

#[tokio::test]
async fn over_the_limit_of_its_address_a_connection_is_dropped() {
    let demo = Demo::with(|s| s.max_connections_per_peer = 2).await;
    let mut first = demo.connect().await;
    let mut second = demo.connect().await;
    first.ask(PING).await.is("pong");
    second.ask(PING).await.is("pong");
    demo.connect().await.is_closed().await;
    let mut other = demo.connect_from("127.0.0.2").await;
    other.ask(PING).await.is("pong");
    drop(first);
    until(|| demo.connections.len() == 2).await;
    let mut third = demo.connect().await;
    third.ask(PING).await.is("pong");
}

#[tokio::test]
async fn a_trusted_proxy_has_any_number_of_connections() {
    let net = "127.0.0.0/8".parse().expect("a net");
    let demo = Demo::with(|s| {
        s.max_connections_per_peer = 1;
        s.trusted_proxies = vec![net];
    })
    .await;
    let mut first = demo.connect().await;
    let mut second = demo.connect().await;
    first.ask(PING).await.is("pong");
    second.ask(PING).await.is("pong");
}

#[tokio::test]
async fn a_client_behind_a_proxy_has_so_many_requests_in_progress() {
    let net = "127.0.0.0/8".parse().expect("a net");
    let demo = Demo::with(|s| {
        s.max_connections_per_peer = 1;
        s.trusted_proxies = vec![net];
    })
    .await;
    let ask = |path: &str, client: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n")
    };
    let (mut first, mut second) = (demo.connect().await, demo.connect().await);
    first.send(&ask("/wait", "2.2.2.2")).await;
    demo.waiting().await;
    let refused = second.ask(&ask("/ping", "2.2.2.2")).await;
    refused.is_refused(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    second.ask(&ask("/ping", "3.3.3.3")).await.is("pong");
    second.ask(PING).await.is("pong");
    demo.go_on();
    first.answer().await.is("done");
    first.ask(&ask("/ping", "2.2.2.2")).await.is("pong");
}

#[tokio::test]
async fn headers_have_a_limit() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    let fits = "y".repeat(16_000);
    client
        .ask(&format!(
            "GET /ping HTTP/1.1\r\nHost: a\r\nX: {fits}\r\n\r\n"
        ))
        .await
        .is("pong");
    let too_long = "y".repeat(17_000);
    let request = format!("GET /ping HTTP/1.1\r\nHost: a\r\nX: {too_long}\r\n\r\n");
    let _ = client.try_send(request.as_bytes()).await;
    assert_eq!(client.answer().await.status, 431);
    let many = "X: y\r\n".repeat(101);
    let too_many = format!("GET /ping HTTP/1.1\r\nHost: a\r\n{many}\r\n");
    for request in [request, too_many] {
        let mut client = demo.connect().await;
        let _ = client.try_send(request.as_bytes()).await;
        let answer = client.answer().await;
        answer.is_refused(431, "headers_too_large");
        assert!(answer.header("x-request-id").is_some() && answer.header("date").is_some());
        client.is_closed().await;
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_place() {
    let demo = Demo::with(|s| {
        s.write_timeout = Duration::from_millis(100);
        s.max_connections = 1;
    })
    .await;
    let mut greedy = demo.connect().await;
    greedy.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut next = demo.connect().await;
    next.ask(PING).await.is("pong");
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_client() {
    let ask = "GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 2.2.2.2\r\n\r\n";
    let demo = Demo::start().await;
    demo.connect().await.ask(ask).await.is("127.0.0.1");
    let net = "127.0.0.0/8".parse().expect("a net");
    let demo = Demo::with(|s| s.trusted_proxies = vec![net]).await;
    demo.connect().await.ask(ask).await.is("2.2.2.2");
}
