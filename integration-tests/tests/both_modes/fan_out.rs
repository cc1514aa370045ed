//! Many in one channel: all see all, once, in one order.

use std::collections::HashSet;

use integration_tests::{Person, Server, Ws, ws::send_frame};

use crate::MODE;

const SESSIONS: usize = 200;
const SENDERS: usize = 10;
const MESSAGES_EACH: usize = 1_000;
const MESSAGES: usize = SENDERS * MESSAGES_EACH;

/// Sends in flight of one sender.
const WINDOW: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sessions_receive_ten_thousand_messages_each_once_in_one_order() {
    let server = Server::start(MODE).await;
    let mut people = Vec::new();
    for n in 0..SENDERS {
        people.push(Person::register(&server, &format!("user-{n}")).await);
    }
    let mut receivers = Vec::new();
    for n in 0..SESSIONS {
        let mut ws = people[n % SENDERS].joined(&server, "general").await;
        receivers.push(tokio::spawn(async move { receive(&mut ws).await }));
    }
    let mut senders = Vec::new();
    for (n, person) in people.iter().enumerate() {
        let mut ws = person.joined(&server, "general").await;
        senders.push(tokio::spawn(async move { send(&mut ws, n).await }));
    }
    let mut acked = HashSet::new();
    for sender in senders {
        let ids = sender.await.expect("all acked");
        assert!(ids.is_sorted(), "one sender's order");
        acked.extend(ids);
    }
    assert_eq!(acked.len(), MESSAGES);
    let first = receivers.remove(0).await.expect("all received");
    assert!(
        first.windows(2).all(|pair| pair[0] < pair[1]),
        "once and in order"
    );
    assert_eq!(first.iter().cloned().collect::<HashSet<_>>(), acked);
    for receiver in receivers {
        assert!(
            receiver.await.expect("all received") == first,
            "the same for all"
        );
    }
}

async fn receive(ws: &mut Ws) -> Vec<u64> {
    let mut ids = Vec::with_capacity(MESSAGES);
    while ids.len() < MESSAGES {
        let text = ws.text().await.expect("the session goes on");
        // Two million of these: only what is compared is read.
        if text.starts_with(r#"{"type":"message""#) {
            let (_, rest) = text.split_once(r#""id":""#).expect("an id");
            ids.push(rest[..20].parse().expect("20 digits"));
        }
    }
    ids
}

async fn send(ws: &mut Ws, sender: usize) -> Vec<u64> {
    let mut ids = Vec::with_capacity(MESSAGES_EACH);
    let mut sent = 0;
    while ids.len() < MESSAGES_EACH {
        while sent < MESSAGES_EACH && sent < ids.len() + WINDOW {
            let mut frame = send_frame("general", &format!("{sender}-{sent}"), "hello, all of you");
            frame["ref"] = sent.into();
            ws.feed(frame).await;
            sent += 1;
        }
        ws.flush().await;
        let ack = ws
            .until(|f| f["type"] == "ack" || f["type"] == "error")
            .await;
        assert_eq!(ack["ref"], ids.len(), "acks come in order: {ack}");
        ids.push(ack["id"].as_str().expect("an id").parse().expect("digits"));
    }
    ids
}
