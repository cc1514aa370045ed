//! One of the clients.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::state::Conversation;
use super::{CHANNEL, LAST, change, one_in, pick};
use crate::ws::send_frame;
use crate::{Person, Server, Ws};

const EMOJIS: [&str; 3] = ["👍", "🎉", "❤️"];

pub struct Client {
    pub person: Person,
    pub state: Conversation,
    chance: StdRng,
    /// None while it is away.
    ws: Option<Ws>,
    /// What it knew at some moment.
    earlier: Conversation,
    sent: usize,
}

impl Client {
    pub fn new(person: Person, chance: StdRng) -> Client {
        Client {
            state: Conversation::of(person.name()),
            earlier: Conversation::of(person.name()),
            person,
            chance,
            ws: None,
            sent: 0,
        }
    }

    /// Clients of the same person that come back after an absence: from before everything, and from that
    /// moment.
    pub fn absent(&self) -> [(&'static str, Client); 2] {
        let beginning = Conversation::of(self.person.name());
        [
            ("from the beginning", beginning),
            ("from earlier", self.earlier.clone()),
        ]
        .map(|(what, state)| {
            let person = self.person.clone();
            let client = Client::new(person, StdRng::seed_from_u64(0));
            (what, Client { state, ..client })
        })
    }

    pub async fn connect(&mut self, server: &Server) {
        let mut ws = self.person.connect(server).await;
        ws.join(CHANNEL, Some(self.state.cursor())).await;
        self.ws = Some(ws);
    }

    /// Does something at random, as often as it is told.
    pub async fn act(&mut self, servers: &[&Server], steps: usize) {
        let snapshot_at = self.chance.random_range(0..steps);
        for step in 0..steps {
            if step == snapshot_at {
                self.earlier = self.state.clone();
            }
            if self.ws.is_none() {
                let server = pick(&mut self.chance, servers).expect("some servers");
                self.connect(server).await;
            }
            if one_in(&mut self.chance, 8) {
                // Cut: whatever is on its way is lost.
                self.ws = None;
                continue;
            }
            let frame = self.frame();
            if one_in(&mut self.chance, 3) {
                self.ask(frame).await;
            } else {
                self.ws().send(frame).await;
            }
        }
        if self.ws.is_none() {
            self.connect(servers[0]).await;
        }
        // What was sent before it is in the log when this is answered.
        let frame = self.frame();
        self.ask(frame).await;
    }

    /// Sends, edits, deletes or reacts.
    fn frame(&mut self) -> Value {
        let own = self
            .state
            .ids(|message| message["sender"] == self.person.name());
        let all = self.state.ids(|_| true);
        let chance = &mut self.chance;
        let (own, any) = (pick(chance, &own), pick(chance, &all));
        match (chance.random_range(0..10), own, any) {
            (0..3, Some(own), _) => {
                let mut edit = change("edit", own);
                edit["text"] = format!("edit {}", chance.random::<u32>()).into();
                edit
            }
            (3, Some(own), _) => change("delete", own),
            (4..7, _, Some(any)) => {
                let mut react = change("react", any);
                react["emoji"] = (*pick(chance, &EMOJIS).expect("some")).into();
                react["on"] = (!one_in(chance, 3)).into();
                react
            }
            _ => {
                self.sent += 1;
                let client_msg_id = format!("m-{}", self.sent);
                send_frame(CHANNEL, &client_msg_id, &client_msg_id)
            }
        }
    }

    /// Sends a frame and reads up to its answer.
    async fn ask(&mut self, mut frame: Value) {
        // Larger than the references that joins have.
        let reference = self.chance.random_range(1_000_000..u32::MAX);
        frame["ref"] = reference.into();
        self.ws().send(frame).await;
        loop {
            let frame = self.read().await;
            if frame["ref"] == reference {
                // What somebody else has deleted can't be changed.
                let code = &frame["error"]["code"];
                assert!(code.is_null() || code == "message_not_found", "{frame}");
                return;
            }
        }
    }

    /// Sends a message after which nothing happens; its id.
    pub async fn say_last(&mut self) -> String {
        let client_msg_id = format!("last-{}", rand::random::<u32>());
        let mut last = send_frame(CHANNEL, &client_msg_id, LAST);
        // Everything is in history, too.
        last["ack"] = json!("persisted");
        last["ref"] = json!(0);
        self.ws().send(last).await;
        loop {
            let frame = self.read().await;
            if frame["ref"] == 0 {
                return frame["id"].as_str().expect("an ack").to_owned();
            }
        }
    }

    /// Reads until it has got this message.
    pub async fn read_up_to(&mut self, last: &str) {
        while self.state.cursor() < last {
            self.read().await;
        }
    }

    async fn read(&mut self) -> Value {
        let frame = self.ws().next().await;
        self.state.apply(&frame);
        frame
    }

    fn ws(&mut self) -> &mut Ws {
        self.ws.as_mut().expect("it is connected")
    }
}
