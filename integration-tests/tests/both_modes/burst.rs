//! A burst closes no session that reads: a session that falls behind catches up from the log.

use std::time::Duration;

use integration_tests::{Person, Server, Ws, within, ws::send_frame};
use rustix::process::Signal;
use serde_json::json;

use crate::MODE;

/// Far fewer than come at once.
const QUEUE: (&str, &str) = ("LAKECHAT_CHAT__QUEUE_FRAMES", "64");

const READERS: usize = 50;
const SENDERS: usize = 4;
const SENDS: usize = 500;
const MESSAGES: usize = SENDERS * SENDS;

/// The ids of the next messages. None of the sessions may be closed.
async fn ids(ws: &mut Ws, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let text = within(ws.text()).await.expect("the session goes on");
        if text.starts_with(r#"{"type":"message""#) {
            let (_, rest) = text.split_once(r#""id":""#).expect("an id");
            ids.push(rest[..20].to_owned());
        }
        assert!(!text.starts_with(r#"{"type":"closing""#), "{text}");
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backlog_of_a_server_that_stood_still_closes_no_reader_and_all_see_all_of_it() {
    let server = Server::with(MODE, &[QUEUE]).await;
    let ann = Person::register(&server, "ann").await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(ann.joined(&server, "general").await);
    }
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        senders.push(ann.joined(&server, "general").await);
    }
    // What is sent meanwhile waits in the sockets and comes all at once.
    server.pause().await;
    for (n, ws) in senders.iter_mut().enumerate() {
        for m in 0..SENDS {
            ws.feed(send_frame("general", &format!("{n}-{m}"), "hello"))
                .await;
        }
        ws.flush().await;
    }
    server.signal(Signal::CONT);

    let reading = readers.into_iter().chain(senders).map(|mut ws| {
        tokio::spawn(async move {
            let ids = ids(&mut ws, MESSAGES).await;
            (ids, ws)
        })
    });
    let mut all = Vec::new();
    for read in reading.collect::<Vec<_>>() {
        all.push(read.await.expect("whole"));
    }
    let first = all[0].0.clone();
    assert!(first.windows(2).all(|pair| pair[0] < pair[1]), "in order");
    assert!(all.iter().all(|(ids, _)| *ids == first), "the same for all");
    let http = server.http();
    let fallen = http.metric("lakechat_falls_behind_total").await;
    assert!(fallen > Some(0), "nobody fell behind");
    assert_eq!(http.metric("lakechat_slow_consumers_total").await, None);

    // They are live again.
    let (_, mut sender) = all.pop().expect("a sender");
    let ack = sender.say("general", "last", "and no more").await;
    for (_, ws) in &mut all {
        assert_eq!(ids(ws, 1).await, [ack["id"].as_str().expect("an id")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn burst_of_more_bytes_than_a_queue_holds_closes_no_reader() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut reader = ann.joined(&server, "general").await;
    let mut sender = ann.joined(&server, "general").await;
    // 60 KB each in JSON, 9 MB in all.
    let text = "\u{1}".repeat(10_000);
    server.pause().await;
    let feeding = tokio::spawn(async move {
        for n in 0..150 {
            sender
                .feed(send_frame("general", &format!("a-{n}"), &text))
                .await;
        }
        sender.flush().await;
        sender
    });
    server.signal(Signal::CONT);
    let seen = ids(&mut reader, 150).await;
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "in order");
    let mut sender = within(feeding).await.expect("it is read");
    assert_eq!(ids(&mut sender, 150).await, seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_as_large_as_the_configuration_allows_arrives_live_and_in_a_resume() {
    let env = [
        ("LAKECHAT_CHAT__FRAME_BYTES", "8388608"),
        ("LAKECHAT_CHAT__TEXT_BYTES", "1048576"),
    ];
    let server = Server::with(MODE, &env).await;
    let ann = Person::register(&server, "ann").await;
    let mut reader = ann.joined(&server, "general").await;
    let mut sender = ann.joined(&server, "general").await;
    // A frame of 6 MiB.
    let text = "\u{1}".repeat(1 << 20);
    sender.send(send_frame("general", "a-1", &text)).await;
    for ws in [&mut reader, &mut sender] {
        let live = ws.of_type("message").await;
        assert!(live["text"] == text.as_str(), "live");
    }
    let mut late = ann.connect(&server).await;
    late.join("general", Some("0")).await;
    let resumed = late.of_type("message").await;
    assert!(resumed["text"] == text.as_str(), "resumed");
    let page = late
        .ask(json!({"type": "history", "channel": "general"}))
        .await;
    assert!(page["messages"][0]["text"] == text.as_str(), "in history");
}

/// A client that takes nothing is given up after this time.
const SLOW: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_takes_nothing_of_its_resume_is_closed_as_slow() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut sender = ann.joined(&server, "general").await;
    let text = "x".repeat(16_000);
    for n in 0..400 {
        sender
            .feed(send_frame("general", &format!("a-{n}"), &text))
            .await;
    }
    sender.flush().await;
    ids(&mut sender, 400).await;
    let mut slow = Ws::connect_narrow(server.address(), ann.token()).await;
    let began = std::time::Instant::now();
    slow.send(json!({"type": "join", "channel": "general", "after": "0"}))
        .await;
    let slow_consumers = "lakechat_slow_consumers_total";
    integration_tests::eventually("it is given up", async || {
        server.http().metric(slow_consumers).await
    })
    .await;
    assert!(began.elapsed() >= SLOW, "{:?}", began.elapsed());
    assert_eq!(slow.closed().await.code, Some(4008));
}
