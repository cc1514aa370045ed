//! A process that stood still has sockets full of what is older than it looks.

use std::collections::HashMap;
use std::time::Duration;

use integration_tests::people::channel;
use integration_tests::{Person, Server, within, ws::send_frame};
use lakechat_client::Event;
use rustix::process::Signal;

use crate::MODE;

/// Longer than the 30 s after which a server reads nothing from before.
const STANDSTILL: Duration = Duration::from_secs(40);

const WAITING: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_from_before_a_standstill_are_closed_unread_and_retries_give_one_message_each() {
    let server = Server::start(MODE).await;
    let (ann, bob) = (
        Person::register(&server, "ann").await,
        Person::register(&server, "bob").await,
    );
    let mut raw = bob.joined(&server, "general").await;
    // As patient as it takes, so that its sends wait in the socket rather than in itself.
    let (session, mut events) = ann.session_with(|o| o.silence_slack = Duration::from_secs(120));
    session
        .join(channel("general"), None)
        .await
        .expect("it lives");
    next(&mut events, |e| matches!(e, Event::Joined { .. })).await;

    server.pause().await;
    for n in 0..WAITING {
        raw.feed(send_frame("general", &format!("b-{n}"), "from before"))
            .await;
    }
    raw.flush().await;
    let mut sent = Vec::new();
    for n in 0..WAITING {
        let id = session
            .send(channel("general"), format!("message {n}"))
            .await;
        sent.push(id.expect("it lives").to_string());
    }
    // Nothing tells that a process stands still; its length is what this test is about.
    tokio::time::sleep(STANDSTILL).await;
    server.signal(Signal::CONT);

    let closed = raw.closed().await;
    assert_eq!(closed.code, Some(4002));
    let mut acked = HashMap::new();
    while acked.len() < WAITING {
        let event = within(events.next()).await.expect("it lives");
        match event {
            Event::Acked {
                client_msg_id, id, ..
            } => {
                acked.insert(client_msg_id.to_string(), id.as_u64());
            }
            Event::Refused { refusal, .. } => panic!("{refusal}"),
            Event::Stopped(stop) => panic!("{stop}"),
            _ => {}
        }
    }
    let history = ann.history(&server, "general").await;
    let stored: Vec<_> = history
        .iter()
        .map(|m| {
            m["client_msg_id"]
                .as_str()
                .expect("ours have one")
                .to_owned()
        })
        .collect();
    assert_eq!(
        stored, sent,
        "unread: none of bob's; ann's once each, in order"
    );
}

async fn next(events: &mut lakechat_client::Events, wanted: impl Fn(&Event) -> bool) {
    while !wanted(&within(events.next()).await.expect("it lives")) {}
}
