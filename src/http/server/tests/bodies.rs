//! Bodies that are slow, broken, too large, of the wrong kind or not wanted.

use std::time::Duration;

use super::demo::Demo;

const CHUNKED: &str = "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_broken_chunk_is_a_bad_request_and_closes() {
    let demo = Demo::start().await;
    for broken in [
        "zz\r\n",
        "3\r\nabcd\r\n",
        "ffffffffffffffffff\r\n",
        "3;a\nb\r\nabc\r\n",
    ] {
        let mut client = demo.connect().await;
        let answer = client
            .ask(&format!("{CHUNKED}5\r\nhello\r\n{broken}"))
            .await;
        answer.is_refused(400, "bad_request");
        answer.closes();
        client.is_closed().await;
    }
}

#[tokio::test]
async fn a_body_that_ends_too_early_is_a_bad_request() {
    let demo = Demo::start().await;
    for start in [
        format!("{CHUNKED}5\r\nhel"),
        "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel".to_owned(),
    ] {
        let mut client = demo.connect().await;
        client.send(&start).await;
        client.finish_sending().await;
        client.answer().await.is_refused(400, "bad_request");
    }
}

#[tokio::test]
async fn a_body_that_stops_is_timed_out_and_closes() {
    let demo = Demo::with(|s| s.body_timeout = Duration::from_millis(100)).await;
    let mut client = demo.connect().await;
    let answer = client.ask(&format!("{CHUNKED}5\r\nhello\r\n")).await;
    answer.is_refused(408, "request_timeout");
    answer.closes();
    client.finish_sending().await;
    client.is_closed().await;
}

#[tokio::test]
async fn a_slow_body_is_refused_with_the_minimum_rate() {
    let demo = Demo::with(|s| {
        s.body_timeout = Duration::from_millis(500);
        s.min_bytes_per_second = 1_000;
    })
    .await;
    let mut client = demo.connect().await;
    client.send(CHUNKED).await;
    let mut drops = tokio::time::interval(Duration::from_millis(50));
    let answer = loop {
        tokio::select! {
            answer = client.first_byte_or_end() => break answer,
            _ = drops.tick() => {}
        }
        // The server may have given up just now.
        let _ = client.try_send(b"1\r\nx\r\n").await;
    };
    assert!(answer, "it is answered");
    let answer = client.answer().await;
    answer.is_refused(408, "request_timeout");
    let rule = "Send at least 1000 bytes per second (average over 500ms of waiting).";
    assert!(answer.body.contains(rule), "{}", answer.body);
    answer.closes();
}

#[tokio::test]
async fn a_body_at_the_minimum_rate_may_take_its_time() {
    let demo = Demo::with(|s| {
        s.body_timeout = Duration::from_millis(500);
        s.min_bytes_per_second = 1_000;
    })
    .await;
    let mut client = demo.connect().await;
    client.send(CHUNKED).await;
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    // Two windows and more.
    for _ in 0..13 {
        pace.tick().await;
        client.send(&chunk).await;
    }
    client.ask("0\r\n\r\n").await.is("6500");
}

#[tokio::test]
async fn json_bodies_are_of_their_kind_length_and_size() {
    let demo = Demo::start().await;
    for (headers, status, code) in [
        (
            "Content-Type: text/plain\r\nContent-Length: 2",
            415,
            "media_type_unsupported",
        ),
        ("Content-Length: 2", 415, "media_type_unsupported"),
        ("Content-Type: application/json", 411, "length_required"),
        (
            "Content-Type: application/json\r\nContent-Length: 65537",
            413,
            "body_too_large",
        ),
    ] {
        let mut client = demo.connect().await;
        client
            .send(&format!(
                "POST /json HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        answer.is_refused(status, code);
    }
    let json = "POST /json HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let mut client = demo.connect().await;
    client
        .ask(&format!("{json}Content-Length: 2\r\n\r\n{{}}"))
        .await
        .is("2");
    let chunk = "x".repeat(0x4000);
    let chunks = format!("4000\r\n{chunk}\r\n").repeat(5);
    let request = format!("{json}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    client.ask(&request).await.is_refused(413, "body_too_large");
}

/// The kernel resets a connection that is closed with unread bytes in it, and the client may then
/// lose the answer.
#[tokio::test]
async fn an_upload_that_is_refused_early_gets_its_answer() {
    let demo = Demo::start().await;
    for _ in 0..20 {
        let mut client = demo.connect().await;
        client
            .send("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n")
            .await;
        client.send(&"x".repeat(8 << 20)).await;
        let answer = client.answer().await;
        answer.is_refused(403, "forbidden");
        answer.closes();
        client.finish_sending().await;
        client.is_closed().await;
    }
}

#[tokio::test]
async fn a_body_that_comes_after_its_refusal_does_not_reset_the_connection() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    let answer = client
        .ask("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n")
        .await;
    answer.is_refused(403, "forbidden");
    client.is_closed().await;
    client.send(&"x".repeat(1 << 20)).await;
    client.finish_sending().await;
    assert_eq!(demo.drained().await, 0);
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_heard_for_so_long() {
    let demo = Demo::with(|s| s.linger = Duration::from_millis(100)).await;
    let mut client = demo.connect().await;
    client
        .send("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 1099511627776\r\n\r\n")
        .await;
    client.answer().await.is_refused(403, "forbidden");
    let megabyte = vec![b'x'; 1 << 20];
    while client.try_send(&megabyte).await.is_ok() {}
}

#[tokio::test]
async fn whoever_expects_100_is_told_to_go_on_only_when_the_body_is_wanted() {
    let demo = Demo::start().await;
    let headers = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut client = demo.connect().await;
    let answer = client
        .ask(&format!("POST /upload HTTP/1.1\r\n{headers}"))
        .await;
    assert_eq!(answer.status, 100);
    client.ask("hello").await.is("5");
    let answer = client
        .ask(&format!("POST /refuse HTTP/1.1\r\n{headers}"))
        .await;
    answer.is_refused(403, "forbidden");
    answer.closes();
}
