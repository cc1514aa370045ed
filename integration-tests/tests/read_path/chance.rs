//! What is left to chance, by the seed.

use lakechat_core::chat::log::record::{Body, ReactionsBefore};
use lakechat_core::domain::{ChannelName, ClientMsgId, Id, ReactionCounts, Role, UserName};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::server::{Server, Shape};

pub struct Chance(StdRng);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(StdRng::seed_from_u64(seed))
    }

    /// Another, for a task of its own.
    pub fn fork(&mut self) -> Chance {
        Chance::new(self.0.random())
    }

    pub fn one_in(&mut self, n: u32) -> bool {
        self.0.random_ratio(1, n)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0.random_range(0..n)
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.0.random_range(0..all.len())]
    }

    pub fn shape(&mut self) -> Shape {
        Shape {
            partitions: *self.of(&[2, 3, 5]),
            tail_bytes: *self.of(&[0, 5_000, 50_000, 500_000, 256 << 20]),
            batch_rows: *self.of(&[1, 3, 16, 500]),
            linger_ms: *self.of(&[0, 1, 20]),
            outbox_frames: *self.of(&[2, 16, 64, 1024]),
        }
    }

    pub fn shape_with_large_tail(&mut self) -> Shape {
        Shape {
            tail_bytes: 256 << 20,
            ..self.shape()
        }
    }
}

/// People and channels of a run. `people` have sessions and stay members; the others come and go.
pub struct Cast {
    pub channels: Vec<ChannelName>,
    pub people: Vec<UserName>,
    pub others: Vec<UserName>,
}

impl Cast {
    pub fn new(chance: &mut Chance) -> Cast {
        let user = |name: String| UserName::parse(&name).expect("a plain name");
        let channel = |n| ChannelName::parse(&format!("c{n}")).expect("a plain name");
        Cast {
            channels: (0..3 + chance.below(5)).map(channel).collect(),
            people: (0..3).map(|n| user(format!("p{n}"))).collect(),
            others: (0..4).map(|n| user(format!("o{n}"))).collect(),
        }
    }

    /// Puts a random record into the log.
    pub fn publish(&self, server: &Server, chance: &mut Chance) {
        let channel = chance.of(&self.channels);
        let other = chance.of(&self.others);
        let sender = if chance.one_in(2) {
            other
        } else {
            chance.of(&self.people)
        };
        match chance.below(40) {
            0 => server.publish(channel, sender, None, Body::Archive, 0),
            1 => {
                let topic = format!("topic {}", chance.below(1000));
                server.publish(channel, sender, None, Body::Topic { topic }, 0);
            }
            2 => server.publish_raw(channel, b"no record".to_vec()),
            3 => {
                let target = Id::from_u64(1 + chance.below(3)).expect("small");
                let emoji = "\u{1f44d}".into();
                let on = chance.one_in(2);
                let body = Body::React {
                    target,
                    emoji,
                    on,
                    // As if a server had just looked.
                    before: Some(ReactionsBefore {
                        at: Id::MAX,
                        counts: ReactionCounts::new(),
                        had: false,
                    }),
                };
                server.publish(channel, sender, None, body, 0);
            }
            4..8 => {
                let roles = [
                    Role::None,
                    Role::None,
                    Role::Member,
                    Role::Admin,
                    Role::Owner,
                ];
                let body = Body::Member {
                    user: other.clone(),
                    role: *chance.of(&roles),
                };
                server.publish(channel, other, None, body, 0);
            }
            _ => self.say(server, channel, sender, chance),
        }
    }

    /// A message: at times a repeat, a conflict, late, or long.
    fn say(&self, server: &Server, channel: &ChannelName, sender: &UserName, chance: &mut Chance) {
        let pool = if chance.one_in(4) { 20 } else { u64::MAX };
        let n = chance.below(pool);
        let client_msg_id = ClientMsgId::parse(&format!("r-{n}")).expect("plain");
        let words = if chance.one_in(20) { 400 } else { 1 };
        let text = format!("{} ", chance.below(2) + n).repeat(words);
        let age_ms = if chance.one_in(15) { 61_000 } else { 0 };
        let body = Body::Message {
            text,
            reply_to: None,
            file: None,
        };
        let keyed = (!chance.one_in(10)).then_some(client_msg_id);
        server.publish(channel, sender, keyed, body, age_ms);
    }

    /// Everybody who has sessions joins everywhere.
    pub async fn enter(&self, server: &Server) -> Vec<String> {
        for channel in &self.channels {
            server.make_channel(channel).await;
            for user in &self.people {
                let body = Body::Member {
                    user: user.clone(),
                    role: Role::Member,
                };
                server.publish(channel, user, None, body, 0);
            }
        }
        let mut tokens = Vec::new();
        for user in &self.people {
            tokens.push(server.register(user).await.expose().clone());
        }
        tokens
    }
}
