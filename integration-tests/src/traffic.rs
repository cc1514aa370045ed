//! People who send without a pause, and an account of what became of it.

use std::collections::HashMap;
use std::time::Duration;

use lakechat::client::{Event, Events, Session};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::interval;

use crate::people::channel;
use crate::{Person, Server};

/// Where they talk.
const CHANNEL: &str = "general";

/// What became of one sender's messages, by `client_msg_id`, in the order of its sends.
struct Account {
    sent: Vec<String>,
    acked: HashMap<String, u64>,
}

/// People who send, each by a client that comes back.
pub struct Traffic {
    people: Vec<Person>,
    senders: Vec<JoinHandle<Account>>,
    go_on: watch::Sender<bool>,
    acked: watch::Receiver<u64>,
}

impl Traffic {
    /// Each sends at most one message a `pace`.
    pub async fn begin(server: &Server, senders: usize, pace: Duration) -> Traffic {
        let mut people = Vec::new();
        for n in 0..senders {
            people.push(Person::register(server, &format!("user-{n}")).await);
        }
        let (go_on, wanted) = watch::channel(true);
        let (count, acked) = watch::channel(0);
        let begin = |person: &Person| {
            let (session, events) = person.session();
            send(session, events, pace, wanted.clone(), count.clone())
        };
        Traffic {
            senders: people.iter().map(begin).collect(),
            people,
            go_on,
            acked,
        }
    }

    /// Waits until so many more messages are acked than at the call.
    pub async fn acked_more(&mut self, messages: u64) {
        let before = *self.acked.borrow_and_update();
        let enough = self.acked.wait_for(|now| *now >= before + messages);
        enough.await.expect("somebody sends");
    }

    /// Stops, waits until all is answered, and holds history against it: everything that was acked is
    /// there under its id, once, in order, and nothing else. Tells how many messages there were.
    pub async fn settle(self, server: &Server) -> usize {
        self.go_on.send(false).expect("senders listen");
        let mut accounts = Vec::new();
        for sender in self.senders {
            accounts.push(sender.await.expect("a sender ends when all is answered"));
        }
        let history = self.people[0].history(server, CHANNEL).await;
        let ids: Vec<u64> = history.iter().map(|m| number(&m["id"])).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        let mut stored: HashMap<String, u64> = HashMap::new();
        for message in &history {
            let id = message["client_msg_id"].as_str().expect("ours have one");
            let before = stored.insert(id.to_owned(), number(&message["id"]));
            assert_eq!(before, None, "{id} is stored twice");
        }
        for account in accounts {
            assert!(account.sent.len() > 100, "only {} sent", account.sent.len());
            for id in &account.sent {
                assert_eq!(stored.remove(id), Some(account.acked[id]), "{id}");
            }
        }
        assert!(stored.is_empty(), "nobody sent {stored:?}");
        history.len()
    }
}

fn number(id: &Value) -> u64 {
    id.as_str().expect("an id").parse().expect("digits")
}

/// Sends until told to stop; then waits until all is answered.
fn send(
    session: Session,
    mut events: Events,
    pace: Duration,
    go_on: watch::Receiver<bool>,
    count: watch::Sender<u64>,
) -> JoinHandle<Account> {
    let sending = tokio::spawn(async move {
        session
            .join(channel(CHANNEL), None)
            .await
            .expect("it lives");
        let mut sent = Vec::new();
        let mut pace = interval(pace);
        while *go_on.borrow() {
            pace.tick().await;
            let text = format!("message {}", sent.len());
            let id = session
                .send(channel(CHANNEL), text)
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
                        count.send_modify(|count| *count += 1);
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
