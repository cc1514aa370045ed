//! People who send without a pause and people who listen, each by a client that comes back, and an
//! account of what became of it all.

mod acks;
mod listener;
mod sender;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::acks::Acks;
use self::listener::Listener;
use self::sender::Account;
use crate::{Person, Server};

/// Where they talk: in several partitions.
pub const CHANNELS: [&str; 6] = ["general", "c1", "c2", "c3", "c4", "c5"];

/// What one has said in a channel at least, or the test tried nothing.
const LEAST: usize = 10;

pub struct Traffic {
    people: Vec<Person>,
    senders: Vec<JoinHandle<Account>>,
    listeners: Vec<Listener>,
    go_on: watch::Sender<bool>,
    acks: watch::Receiver<Acks>,
}

impl Traffic {
    /// Somebody listens on each server; the senders are spread over them, and each sends at most one
    /// message a `pace`.
    pub async fn begin(servers: &[&Server], senders: usize, pace: Duration) -> Traffic {
        let mut people = Vec::new();
        for n in 0..senders {
            let server = servers[n % servers.len()];
            people.push(Person::register(server, &format!("sender-{n}")).await);
        }
        for channel in CHANNELS.iter().filter(|channel| **channel != "general") {
            people[0].create_channel(servers[0], channel).await;
        }
        let mut listeners = Vec::new();
        for (n, server) in servers.iter().enumerate() {
            let person = Person::register(server, &format!("listener-{n}")).await;
            listeners.push(Listener::begin(&person).await);
        }
        let (go_on, wanted) = watch::channel(true);
        let (count, acks) = watch::channel(Acks::default());
        let begin = |person: &Person| sender::begin(person, pace, wanted.clone(), count.clone());
        Traffic {
            senders: people.iter().map(begin).collect(),
            people,
            listeners,
            go_on,
            acks,
        }
    }

    /// One of those who send.
    pub fn person(&self) -> &Person {
        &self.people[0]
    }

    /// Waits until so many more messages are acked than at the call.
    pub async fn acked_more(&mut self, messages: u64) {
        let before = self.acks.borrow_and_update().count;
        let enough = self.acks.wait_for(|now| now.count >= before + messages);
        enough.await.expect("somebody sends");
    }

    /// The longest time since then in which nobody got an ack.
    pub fn longest_pause(&self, since: Instant) -> Duration {
        self.acks.borrow().longest_pause(since)
    }

    /// Stops, waits until all is answered, and holds the history of each server against it: everything
    /// that was acked is there under its id, once, in the order of its sends, and nothing else; and
    /// those who listened saw exactly that, in that order. Tells how many messages there were.
    pub async fn settle(self, servers: &[&Server]) -> usize {
        self.go_on.send(false).expect("senders listen");
        let mut accounts = Vec::new();
        for sender in self.senders {
            accounts.push(sender.await.expect("a sender ends when all is answered"));
        }
        let mut messages = 0;
        for channel in CHANNELS {
            let mut seen_by_all = Vec::new();
            for server in servers {
                let history = self.people[0].history(server, channel).await;
                seen_by_all.push(compare(channel, &history, &accounts));
            }
            let ids = &seen_by_all[0];
            assert!(
                seen_by_all.iter().all(|seen| seen == ids),
                "each server tells the same of {channel}"
            );
            for listener in &self.listeners {
                let seen = listener.seen(channel, ids.len()).await;
                assert_eq!(seen, *ids, "{channel}, live");
            }
            messages += ids.len();
        }
        messages
    }
}

/// Holds a channel's history against what its senders know; its ids.
fn compare(channel: &str, history: &[Value], accounts: &[Account]) -> Vec<u64> {
    let ids: Vec<u64> = history.iter().map(|m| number(&m["id"])).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{channel} is in order");
    let mut stored: HashMap<&str, u64> = HashMap::new();
    for message in history {
        let id = message["client_msg_id"].as_str().expect("ours have one");
        let before = stored.insert(id, number(&message["id"]));
        assert_eq!(before, None, "{id} is stored twice");
    }
    for account in accounts {
        let sent: Vec<_> = account.sent_to(channel).collect();
        assert!(sent.len() >= LEAST, "only {} sent", sent.len());
        let found: Vec<_> = sent.iter().map(|id| stored.remove(id)).collect();
        let acked: Vec<_> = sent.iter().map(|id| account.acked(id)).collect();
        assert_eq!(found, acked, "what was acked is there under its id");
        assert!(acked.is_sorted(), "acked sends keep their order");
    }
    assert!(stored.is_empty(), "nobody sent {stored:?}");
    ids
}

fn number(id: &Value) -> u64 {
    id.as_str().expect("an id").parse().expect("digits")
}
