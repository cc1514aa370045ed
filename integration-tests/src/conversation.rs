//! Clients that write, change, react, lose their connections and come back, on any servers: in the end each
//! one has the state that history has.

mod client;
mod state;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::{Person, Server};
use client::Client;
use state::Conversation;

/// The channel in which all of it happens.
const CHANNEL: &str = "general";

/// People, and what each of them does.
const PEOPLE: u64 = 4;
const STEPS: usize = 60;

/// The text of the message after which nothing happens.
const LAST: &str = "last";

/// A run by a seed, which it prints. The order in which the people's frames meet is left to chance.
pub struct Run {
    clients: Vec<Client>,
}

impl Run {
    /// The seed is `TEST_SEED`, or random.
    pub async fn new(server: &Server) -> Run {
        let seed = std::env::var("TEST_SEED").ok();
        let seed = seed.map(|seed| seed.parse().expect("TEST_SEED is a number"));
        let seed: u64 = seed.unwrap_or_else(rand::random);
        // Shown if the test fails.
        println!("TEST_SEED={seed}");
        let mut clients = Vec::new();
        for n in 0..PEOPLE {
            let person = Person::register(server, &format!("p{n}")).await;
            let chance = StdRng::seed_from_u64(seed.wrapping_add(n));
            clients.push(Client::new(person, chance));
        }
        Run { clients }
    }

    /// Everybody acts, all at once, and is connected at the end.
    pub async fn act(&mut self, servers: &[&Server]) {
        join_all(self.clients.iter_mut().map(|c| c.act(servers, STEPS))).await;
    }

    /// Everybody connects again and resumes.
    pub async fn come_back(&mut self, server: &Server) {
        for client in &mut self.clients {
            client.connect(server).await;
        }
    }

    /// Each client has what history says, and so has each that comes back from where it once was.
    pub async fn agrees(&mut self, servers: &[&Server]) {
        let last = self.settled(servers[0]).await;
        for (n, client) in self.clients.iter_mut().enumerate() {
            let server = servers[n % servers.len()];
            client.read_up_to(&last).await;
            let history = client.person.history(server, CHANNEL).await;
            let stored = Conversation::of_page(&history);
            client.state.assert_is(&stored, "live");
            for (what, mut absent) in client.absent() {
                absent.connect(server).await;
                absent.read_up_to(&last).await;
                absent.state.assert_is(&stored, what);
            }
        }
    }

    /// Waits until the frames of cut connections are handled, too: between two last messages nothing else
    /// happens. Returns the id of the second.
    async fn settled(&mut self, server: &Server) -> String {
        let mut before = None;
        loop {
            let last = self.clients[0].say_last().await;
            let mut history = self.clients[0].person.history(server, CHANNEL).await;
            history.retain(|message| message["text"] != LAST);
            if before.as_ref() == Some(&history) {
                return last;
            }
            before = Some(history);
        }
    }
}

fn pick<'a, T>(chance: &mut StdRng, all: &'a [T]) -> Option<&'a T> {
    (!all.is_empty()).then(|| &all[chance.random_range(0..all.len())])
}

fn one_in(chance: &mut StdRng, n: u32) -> bool {
    chance.random_ratio(1, n)
}

/// The frame of a change of a message.
fn change(kind: &str, id: &str) -> serde_json::Value {
    json!({"type": kind, "channel": CHANNEL, "id": id})
}
