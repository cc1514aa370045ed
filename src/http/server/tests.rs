//! The server loop from outside: raw bytes over TCP against a few routes of its own.

mod bodies;
mod demo;
mod framing;
mod limits;
mod records;
mod wire;

use demo::{Demo, until};
use wire::Client;

#[tokio::test]
async fn each_answer_has_an_id_of_its_own() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    let first = client
        .ask("GET /ping HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n")
        .await;
    let second = client.ask("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (first, second) = (first.header("x-request-id"), second.header("x-request-id"));
    assert!(first.is_some_and(|id| id.len() == 36 && id != "mine"));
    assert!(second.is_some() && first != second);
}

#[tokio::test]
async fn an_unknown_path_is_not_found_in_our_shape() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    for path in [
        "/nowhere",
        "/",
        "/ping/",
        "//ping",
        "/things/",
        "/things/a/b",
        "/ping%2F",
    ] {
        let answer = client
            .ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        answer.is_refused(404, "not_found");
        let id = answer.header("x-request-id").unwrap_or("none");
        assert!(answer.body.contains(id), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_what_the_path_takes() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    for method in ["DELETE", "OPTIONS", "HEAD", "BREW"] {
        client
            .send(&format!("{method} /things/x HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = client.answer_to(method).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, PUT"));
    }
}

#[tokio::test]
async fn head_is_answered_where_the_table_lists_it() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    client
        .send("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let answer = client.answer_to("HEAD").await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("15"))
    );
    client
        .ask("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .is("pong");
}

#[tokio::test]
async fn paths_are_percent_decoded() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    for (sent, seen) in [
        ("a%2Fb", "a/b"),
        ("%7Eann", "~ann"),
        ("a+b", "a+b"),
        ("%252D", "%2D"),
        ("%ff", "\u{fffd}"),
    ] {
        let request = format!("GET /p%61ram/{sent}?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        client.ask(&request).await.is(seen);
    }
}

#[tokio::test]
async fn a_panicking_handler_is_an_internal_error_of_one_request() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    let answer = client.ask("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    answer.is_refused(500, "internal");
    assert!(!answer.body.contains("secret"), "{}", answer.body);
    client
        .ask("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .is("pong");
}

#[tokio::test]
async fn an_upgraded_connection_is_the_raw_socket_and_keeps_its_place() {
    let demo = Demo::with(|s| s.max_connections = 1).await;
    let mut client = demo.connect().await;
    let upgrade =
        "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    // What comes with the request must not be lost.
    client.send(&format!("{upgrade}early ")).await;
    let answer = client.answer_to("GET").await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("connection"), Some("upgrade"));
    client.send("late").await;
    client.finish_sending().await;
    let mut waiting = demo.connect().await;
    waiting.send("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // The session has the socket and its slot; nothing of HTTP is left beside it.
    until(|| demo.connections.is_empty()).await;
    assert_eq!(demo.free_slots(), 0);
    assert_eq!(client.rest().await, "early late");
    waiting.answer().await.is("pong");
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
const READY: &str = "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
const PING: &str = "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_server_that_starts_answers_its_probes_alone() {
    let demo = Demo::starting(|_| {}).await;
    let mut client = demo.connect().await;
    assert_eq!(client.ask(HEALTH).await.status, 200);
    assert_eq!(client.ask(READY).await.status, 503);
    let answer = client.ask(PING).await;
    answer.is_refused(503, "broker_unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let unknown = client.ask("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    unknown.is_refused(404, "not_found");
    demo.open();
    client.ask(PING).await.is("pong");
}

#[tokio::test]
async fn a_drain_finishes_the_request_under_way_and_closes_the_others() {
    let demo = Demo::start().await;
    let mut idle = demo.connect().await;
    idle.ask(PING).await.is("pong");
    let mut silent = demo.connect().await;
    let mut busy = demo.connect().await;
    busy.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    demo.waiting().await;
    demo.shutdown.begin();
    idle.is_closed().await;
    silent.is_closed().await;
    demo.go_on();
    let answer = busy.answer().await;
    answer.is("done");
    answer.closes();
    busy.is_closed().await;
    assert_eq!(demo.ended().await, 0);
}

#[tokio::test]
async fn a_server_that_drains_answers_its_probes_alone() {
    let demo = Demo::start().await;
    let mut busy = demo.connect().await;
    busy.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    demo.waiting().await;
    demo.shutdown.begin();
    for (request, status) in [(HEALTH, 200), (READY, 503), (PING, 503)] {
        let mut late = demo.connect().await;
        let answer = late.ask(request).await;
        assert_eq!(answer.status, status, "{request}");
        answer.closes();
        late.is_closed().await;
    }
    let mut late = demo.connect().await;
    let answer = late.ask(PING).await;
    answer.is_refused(503, "shutting_down");
    assert_eq!((demo.pings(), answer.header("retry-after")), (0, Some("1")));
    // One that says nothing holds up nobody.
    let mut silent = demo.connect().await;
    demo.go_on();
    busy.answer().await.is("done");
    let address = demo.address;
    assert_eq!(demo.ended().await, 0);
    silent.is_closed().await;
    assert!(Client::connect(address).await.is_err(), "it is over");
}

#[tokio::test]
async fn what_is_under_way_at_the_deadline_is_cut_and_counted() {
    let demo = Demo::start().await;
    let mut busy = demo.connect().await;
    busy.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    demo.waiting().await;
    demo.shutdown.begin();
    demo.shutdown.cut();
    busy.is_closed().await;
    assert_eq!(demo.ended().await, 1);
}
