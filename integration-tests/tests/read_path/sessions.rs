//! Sessions that resume while others send, cut at any frame: what was missed, then live, once, in
//! order, and with no hole.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use integration_tests::within;
use lakechat_core::chat::clock::boot_ms;
use lakechat_core::domain::{ChannelName, ClientMsgId, Id};
use lakechat_core::ports::History;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::chance::{Cast, Chance};
use crate::checks::{Checks, id_in, said_in, somewhere};
use crate::client::Client;
use crate::model::{Model, Said};
use crate::server::{Server, Shape};
use crate::under_seeds;

const ROUNDS: usize = 2;
const READERS: usize = 5;
const BURSTS: u64 = 40;
const SENDS: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_cut_at_any_frame_miss_nothing_and_see_nothing_twice() {
    under_seeds(6, story).await;
}

async fn story(seed: u64) {
    let mut chance = Chance::new(seed);
    let mut shape = chance.shape();
    let folder = tempfile::tempdir().expect("a folder");
    let cast = Cast::new(&mut chance);
    let mut model = Model::new(shape.partitions);
    let mut server = Server::start(folder.path(), &shape).await;
    let tokens = cast.enter(&server).await;
    for _ in 0..60 {
        cast.publish(&server, &mut chance);
    }
    server.settle().await;
    model.read(server.broker.as_ref()).await;
    let mut readers: Vec<_> = (0..READERS)
        .map(|_| Reader::new(&cast, &tokens, &mut model, &mut chance))
        .collect();
    for _ in 0..ROUNDS {
        round(&server, &shape, &cast, &tokens, &mut model, &mut readers).await;
        server.stop().await;
        shape = Shape {
            partitions: shape.partitions,
            ..chance.shape()
        };
        server = Server::start(folder.path(), &shape).await;
    }
    let mut checks = Checks {
        server: &server,
        model: &mut model,
        cast: &cast,
        tokens: &tokens,
    };
    checks.stored().await;
    server.stop().await;
}

/// What all in a round go by.
struct Round<'a> {
    server: &'a Server,
    /// A tail this small may let go of what is not stored.
    may_lack: bool,
    /// Bursts published so far.
    published: watch::Sender<u64>,
    /// Up to where each channel goes, once nothing more is published.
    goal: watch::Sender<Option<BTreeMap<ChannelName, Id>>>,
}

async fn round(
    server: &Server,
    shape: &Shape,
    cast: &Cast,
    tokens: &[String],
    model: &mut Model,
    readers: &mut [Reader],
) {
    let round = Round {
        server,
        may_lack: shape.tail_bytes < 1 << 20,
        published: watch::Sender::new(0),
        goal: watch::Sender::new(None),
    };
    let mut chance = readers[0].chance.fork();
    let mut sender = Sender {
        round: &round,
        channel: &cast.channels[0],
        token: &tokens[1],
        chance: chance.fork(),
        acked: BTreeMap::new(),
    };
    let writing = async {
        let sending = sender.send_all();
        let publishing = publish_all(&round, cast, &mut chance);
        let ((), ()) = tokio::join!(publishing, sending);
        server.settle().await;
        model.read(server.broker.as_ref()).await;
        let last = |c: &crate::model::ChannelModel| c.said.last().map_or(Id::ZERO, |s| s.id);
        let goal = model.channels.iter().map(|(n, c)| (n.clone(), last(c)));
        round.goal.send_replace(Some(goal.collect()));
    };
    let reading = join_all(readers.iter_mut().map(|reader| reader.read(&round)));
    within(async { tokio::join!(writing, reading) }).await;
    server.assert_nothing_stopped();
    for reader in readers.iter() {
        let wanted = model.of(&reader.channel).after(reader.start);
        assert_eq!(reader.got, wanted, "of {}", reader.channel);
    }
    let said = &model.of(&cast.channels[0]).said;
    for (client_msg_id, id) in &sender.acked {
        let at = said.binary_search_by_key(id, |said| said.id);
        let found = &said[at.expect("what was acked is there")];
        assert_eq!(found.client_msg_id.as_ref(), Some(client_msg_id));
    }
}

async fn publish_all(round: &Round<'_>, cast: &Cast, chance: &mut Chance) {
    let server = round.server;
    for _ in 0..BURSTS {
        for _ in 0..=chance.below(30) {
            cast.publish(server, chance);
        }
        match chance.below(8) {
            0 => server.history.set_open(false),
            1 | 2 => server.history.set_open(true),
            3 => server.log.tick(boot_ms(), 0),
            4 => {
                let marks = server.history.marks().await.expect("history is there");
                let marks = server.log.partitions().zip(marks);
                marks.for_each(|(p, mark)| server.log.learn_mark(p, mark));
            }
            5 => tokio::task::yield_now().await,
            _ => {
                let passed = server.chat.barrier().pass_all().await;
                assert!(passed.expect("the log is read").is_empty());
            }
        }
        round.published.send_modify(|n| *n += 1);
    }
    server.history.set_open(true);
}

struct Reader {
    channel: ChannelName,
    token: String,
    start: Id,
    cursor: Id,
    got: Vec<Said>,
    chance: Chance,
}

/// How a connection ended.
enum End {
    Reached,
    Cut,
}

impl Reader {
    fn new(cast: &Cast, tokens: &[String], model: &mut Model, chance: &mut Chance) -> Reader {
        let channel = if chance.one_in(2) {
            cast.channels[0].clone()
        } else {
            chance.of(&cast.channels).clone()
        };
        let said = &model.of(&channel).said;
        // Not above the log's last id.
        let last = said.last().map_or(Id::ZERO, |s| s.id);
        let start = somewhere(said, chance).min(last);
        Reader {
            token: chance.of(tokens).clone(),
            channel,
            start,
            cursor: start,
            got: Vec::new(),
            chance: chance.fork(),
        }
    }

    async fn read(&mut self, round: &Round<'_>) {
        while let End::Cut = self.connection(round).await {}
    }

    fn is_there(&self, round: &Round<'_>) -> bool {
        let goal = round.goal.borrow();
        goal.as_ref()
            .is_some_and(|g| self.cursor >= g[&self.channel])
    }

    async fn connection(&mut self, round: &Round<'_>) -> End {
        let buffer = *self.chance.of(&[200, 2_000, 1 << 20]);
        let mut client = Client::connect(round.server, &self.token, buffer).await;
        if !self.join(&mut client).await {
            return End::Cut;
        }
        let (mut published, mut goal) = (round.published.subscribe(), round.goal.subscribe());
        loop {
            if self.is_there(round) {
                return End::Reached;
            }
            match self.chance.below(80) {
                0 => return End::Cut,
                1 => {
                    if !self.leave_and_join(&mut client).await {
                        return End::Cut;
                    }
                    continue;
                }
                // Reads nothing for a while.
                2..8 if goal.borrow().is_none() => {
                    tokio::select! {
                        changed = published.changed() => changed.expect("the round goes on"),
                        changed = goal.changed() => changed.expect("the round goes on"),
                    }
                    continue;
                }
                _ => {}
            }
            let frame = tokio::select! {
                frame = client.next() => frame,
                changed = goal.changed() => { changed.expect("the round goes on"); continue; }
            };
            let Some(frame) = frame else { return End::Cut };
            if frame["type"] == "error" {
                assert_eq!(frame["error"]["code"], "history_unavailable", "{frame}");
                assert!(round.may_lack, "refused without need: {frame}");
                sleep(Duration::from_millis(20)).await;
                if !self.join(&mut client).await {
                    return End::Cut;
                }
            } else {
                self.take(&frame);
            }
        }
    }

    async fn join(&self, client: &mut Client) -> bool {
        let after = Some(self.cursor.to_string());
        client.join(self.channel.as_str(), after).await
    }

    /// Between `left` and the next `joined` there is nothing of the channel.
    async fn leave_and_join(&mut self, client: &mut Client) -> bool {
        if !client.leave(self.channel.as_str()).await {
            return false;
        }
        loop {
            let Some(frame) = within(client.next()).await else {
                return false;
            };
            match frame["type"].as_str() {
                Some("left") => break,
                Some("error") => {}
                _ => self.take(&frame),
            }
        }
        if !self.join(client).await {
            return false;
        }
        match within(client.next()).await {
            Some(frame) if frame["type"] == "joined" => true,
            Some(frame) => {
                assert_eq!(frame["error"]["code"], "history_unavailable", "{frame}");
                false
            }
            None => false,
        }
    }

    fn take(&mut self, frame: &Value) {
        match frame["type"].as_str() {
            Some("joined" | "reaction") => {}
            Some("message") => {
                let said = said_in(frame);
                assert!(said.id > self.cursor, "{} again, or before", said.id);
                self.cursor = said.id;
                self.got.push(said);
            }
            _ => panic!("nobody asked for {frame}"),
        }
    }
}

/// A session that sends, and sends again what was not acked.
struct Sender<'a> {
    round: &'a Round<'a>,
    channel: &'a ChannelName,
    token: &'a str,
    chance: Chance,
    acked: BTreeMap<ClientMsgId, Id>,
}

impl Sender<'_> {
    async fn send_all(&mut self) {
        let series = self.chance.below(u64::MAX);
        let mut next = 0;
        while next < SENDS {
            let mut client = Client::connect(self.round.server, self.token, 1 << 16).await;
            client.join(self.channel.as_str(), None).await;
            while next < SENDS && self.send(&mut client, series, next).await {
                next += 1;
            }
        }
    }

    /// Sends one, or one of those before it once more; false if it was not answered.
    async fn send(&mut self, client: &mut Client, series: u64, next: u64) -> bool {
        let retry = next > 0 && self.chance.one_in(5);
        let n = if retry { self.chance.below(next) } else { next };
        let id = ClientMsgId::parse(&format!("s-{series}-{n}")).expect("plain");
        let level = if self.chance.one_in(10) {
            "persisted"
        } else {
            "accepted"
        };
        let frame = json!({"type": "send", "ref": 9, "channel": self.channel.as_str(),
            "text": format!("{n}"), "client_msg_id": id.as_str(), "ack": level});
        if !client.send(frame).await {
            return false;
        }
        loop {
            let Some(frame) = within(client.next()).await else {
                return false;
            };
            match (frame["type"].as_str(), frame["ref"].as_u64()) {
                (Some("ack"), Some(9)) => {
                    assert_eq!(frame["level"], level);
                    let first = *self.acked.entry(id).or_insert(id_in(&frame));
                    assert_eq!(id_in(&frame), first);
                    return true;
                }
                (Some("error"), Some(9)) => return self.refused(&frame),
                (Some("error"), _) => {
                    assert!(self.round.may_lack, "{frame}");
                    sleep(Duration::from_millis(20)).await;
                    return false;
                }
                _ => {}
            }
        }
    }

    /// An archived channel takes nothing more: that is an answer.
    fn refused(&self, frame: &Value) -> bool {
        let code = frame["error"]["code"].as_str().expect("a code");
        assert!(
            ["channel_archived", "not_a_member"].contains(&code),
            "{frame}"
        );
        code == "channel_archived"
    }
}
