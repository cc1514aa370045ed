//! A reader that doesn't read harms only itself, and comes back whole.

use integration_tests::ws::{Got, send_frame};
use integration_tests::{Http, Person, Server, Ws, eventually};

use crate::MODE;

/// More than any queue and socket buffer between server and reader holds.
const MESSAGES: usize = 6_000;
const TEXT_BYTES: usize = 8_000;

/// Sends in flight.
const WINDOW: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reader_is_closed_and_channel_goes_on_and_it_resumes_whole() {
    let server = Server::start(MODE).await;
    let (ann, bob) = (
        Person::register(&server, "ann").await,
        Person::register(&server, "bob").await,
    );
    let mut slow = Ws::connect_narrow(server.address(), bob.token()).await;
    slow.join("general", None).await;
    let mut fast = bob.joined(&server, "general").await;
    let mut sender = ann.joined(&server, "general").await;

    let reading = tokio::spawn(async move { ids(&mut fast, MESSAGES).await });
    let sending = send_all(&mut sender);
    let ((seen, end), ()) = tokio::join!(read_once_closed(slow, server.http()), sending);
    let all = integration_tests::within(reading)
        .await
        .expect("the fast one goes on");

    assert_eq!(end, Some(4008));
    assert!(seen.len() < MESSAGES, "it was not slow enough to be closed");
    assert!(seen == all[..seen.len()], "what it got has no hole");

    let mut back = bob.connect(&server).await;
    let cursor = seen.last().map_or("0", |id| id);
    assert_eq!(back.join("general", Some(cursor)).await["resumed"], true);
    let rest = ids(&mut back, MESSAGES - seen.len()).await;
    assert!(rest == all[seen.len()..], "it missed nothing");
}

async fn send_all(sender: &mut Ws) {
    let text = "x".repeat(TEXT_BYTES);
    let (mut sent, mut acked) = (0, 0);
    while acked < MESSAGES {
        while sent < MESSAGES && sent < acked + WINDOW {
            sender
                .feed(send_frame("general", &format!("a-{sent}"), &text))
                .await;
            sent += 1;
        }
        sender.flush().await;
        sender.of_type("ack").await;
        acked += 1;
    }
}

/// Reads nothing before the server has given it up, then all that is left: the messages' ids, and
/// the close code.
async fn read_once_closed(mut slow: Ws, http: &Http) -> (Vec<String>, Option<u16>) {
    eventually("it is given up", async || {
        let metrics = http.get("/metrics", "").await;
        let text = String::from_utf8(metrics.body).expect("text");
        text.contains("slow_consumer").then_some(())
    })
    .await;
    let mut seen = Vec::new();
    loop {
        match slow.got().await {
            Got::Frame(frame) if frame["type"] == "message" => {
                seen.push(frame["id"].as_str().expect("an id").to_owned());
            }
            Got::Frame(_) => {}
            Got::Closed(code) => return (seen, code),
        }
    }
}

async fn ids(ws: &mut Ws, count: usize) -> Vec<String> {
    let messages = ws.messages(count).await;
    let ids = messages
        .iter()
        .map(|m| m["id"].as_str().expect("an id").to_owned());
    ids.collect()
}
