//! SIGKILL while people send: what was acked is there, once, under the id that the ack said.

use std::collections::HashMap;
use std::time::Duration;

use integration_tests::people::channel;
use integration_tests::{Person, Server, within};
use lakechat::client::{Event, Events, Session};
use rand::RngExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const KILLS: usize = 10;
const SENDERS: usize = 4;

/// What became of one sender's messages, by `client_msg_id`, in the order of its sends.
struct Account {
    sent: Vec<String>,
    acked: HashMap<String, u64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_at_random_moments_lose_nothing_acked_and_double_nothing() {
    let mut server = Server::start().await;
    let mut people = Vec::new();
    for n in 0..SENDERS {
        people.push(Person::register(&server, &format!("user-{n}")).await);
    }
    let (more, wanted) = watch::channel(true);
    let senders: Vec<_> = people
        .iter()
        .map(|person| {
            let (session, events) = person.session();
            begin(session, events, wanted.clone())
        })
        .collect();
    for _ in 0..KILLS {
        let moment = rand::rng().random_range(100..1_500);
        // The moment of a kill is what this test varies; nothing tells it.
        tokio::time::sleep(Duration::from_millis(moment)).await;
        server.kill_9().await;
        server.restart().await;
    }
    more.send(false).expect("senders listen");

    let mut accounts = Vec::new();
    for sender in senders {
        accounts.push(
            within(sender)
                .await
                .expect("a sender ends when all is answered"),
        );
    }
    let history = people[0].history(&server, "general").await;
    let ids: Vec<u64> = history.iter().map(|m| number(&m["id"])).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    let mut stored: HashMap<String, u64> = HashMap::new();
    for message in &history {
        let id = message["client_msg_id"].as_str().expect("ours have one");
        let before = stored.insert(id.to_owned(), number(&message["id"]));
        assert_eq!(before, None, "{id} is stored twice");
    }
    for account in accounts {
        assert!(
            account.sent.len() > 100,
            "it sent only {}",
            account.sent.len()
        );
        for id in &account.sent {
            assert_eq!(stored.remove(id), Some(account.acked[id]), "{id}");
        }
    }
    assert!(stored.is_empty(), "nobody sent {stored:?}");
}

fn number(id: &serde_json::Value) -> u64 {
    id.as_str().expect("an id").parse().expect("digits")
}

/// Sends as fast as acks come, until told to stop; then waits until all is answered.
fn begin(
    session: Session,
    mut events: Events,
    wanted: watch::Receiver<bool>,
) -> JoinHandle<Account> {
    let sending = tokio::spawn(async move {
        session
            .join(channel("general"), None)
            .await
            .expect("it lives");
        let mut sent = Vec::new();
        while *wanted.borrow() {
            let text = format!("message {}", sent.len());
            let id = session
                .send(channel("general"), text)
                .await
                .expect("it lives");
            sent.push(id.to_string());
        }
        (session, sent)
    });
    tokio::spawn(async move {
        let mut acked = HashMap::new();
        let mut sending = Some(sending);
        let mut done = None;
        loop {
            tokio::select! {
                event = events.next() => match event.expect("it lives") {
                    Event::Acked { client_msg_id, id, .. } => {
                        let before = acked.insert(client_msg_id.to_string(), id.as_u64());
                        assert_eq!(before, None, "acked once");
                    }
                    Event::Refused { refusal, .. } => panic!("{refusal}"),
                    Event::Stopped(stop) => panic!("{stop}"),
                    _ => {}
                },
                result = async { sending.as_mut().expect("once").await }, if sending.is_some() => {
                    sending = None;
                    done = Some(result.expect("no panic"));
                }
            }
            if let Some((_, sent)) = &done
                && acked.len() == sent.len()
            {
                return Account {
                    sent: sent.clone(),
                    acked,
                };
            }
        }
    })
}
