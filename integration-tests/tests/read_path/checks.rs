//! What the server answers, held against the model while nothing else is written.

use std::collections::{BTreeMap, BTreeSet};

use integration_tests::{eventually, within};
use lakechat_core::chat::hub::HubChannel;
use lakechat_core::chat::{Page, PageQuery};
use lakechat_core::domain::{ChannelName, Code, Id, Problem, UserName};
use lakechat_core::ports::History;
use lakechat_core::ports::history::MessageRange;
use serde_json::Value;

use crate::chance::{Cast, Chance};
use crate::client::Client;
use crate::model::{Model, Said};
use crate::server::Server;

pub struct Checks<'a> {
    pub server: &'a Server,
    pub model: &'a mut Model,
    pub cast: &'a Cast,
    pub tokens: &'a [String],
}

/// An answer, or a refusal that is right: what is asked for is nowhere to be had.
fn answered<T>(server: &Server, lacked: bool, answer: Result<T, Problem>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(problem) => {
            server.assert_nothing_stopped();
            assert_eq!(problem.code, Code::HistoryUnavailable, "{problem:?}");
            assert!(lacked, "refused without need: {problem:?}");
            None
        }
    }
}

impl Checks<'_> {
    /// Takes everything in, on both sides.
    pub async fn settle(&mut self) {
        self.server.settle().await;
        self.model.read(self.server.broker.as_ref()).await;
        self.server.assert_nothing_stopped();
        for partition in self.server.log.partitions() {
            let last = self.server.log.lock(partition).fold.last_id();
            assert_eq!(last, self.model.last_id(partition));
        }
    }

    pub async fn any(&mut self, chance: &mut Chance) {
        self.settle().await;
        let channel = chance.of(&self.cast.channels).clone();
        match chance.below(6) {
            0 => self.rosters().await,
            1 => self.walk(&channel, chance).await,
            2 | 3 => self.resume(&channel, chance).await,
            _ => self.page(&channel, chance).await,
        }
    }

    async fn open(&self, channel: &ChannelName) -> Option<std::sync::Arc<HubChannel>> {
        let lacked = self.server.lacks(channel);
        let found = self.server.chat.find_up_to_date(channel.as_str()).await;
        answered(self.server, lacked, found)
    }

    async fn ask(&self, channel: &ChannelName, query: PageQuery) -> Option<Page> {
        let lacked = self.server.lacks(channel);
        let found = self.open(channel).await?;
        let page = self
            .server
            .chat
            .history(&found, self.reader(), query, 1 << 20)
            .await;
        answered(self.server, lacked, page)
    }

    fn reader(&self) -> &UserName {
        &self.cast.people[0]
    }

    /// One page somewhere.
    async fn page(&mut self, channel: &ChannelName, chance: &mut Chance) {
        let all = &self.model.of(channel).said.clone();
        let id = somewhere(all, chance);
        let limit = 1 + chance.below(20) as usize;
        let at = all.partition_point(|said| said.id < id);
        let behind = all.partition_point(|said| said.id <= id);
        let (before, after, around, wanted) = match chance.below(4) {
            0 => (None, None, None, &all[all.len().saturating_sub(limit)..]),
            1 => (Some(id), None, None, &all[at.saturating_sub(limit)..at]),
            2 => {
                let end = (behind + limit).min(all.len());
                (None, Some(id), None, &all[behind..end])
            }
            _ => return self.around(channel, id, limit).await,
        };
        let query = PageQuery::new(before, after, around, None, Some(limit as u64));
        if let Some(page) = self.ask(channel, query.expect("one place")).await {
            assert_eq!(said(&page), wanted);
        }
    }

    async fn around(&mut self, channel: &ChannelName, id: Id, limit: usize) {
        let all = self.model.of(channel).said.clone();
        let (older, rest) = all.split_at(all.partition_point(|said| said.id < id));
        let newer = &rest[rest.partition_point(|said| said.id <= id)..];
        let older = &older[older.len().saturating_sub(limit / 2)..];
        let newer = &newer[..newer.len().min(limit - older.len())];
        let query = PageQuery::new(None, None, Some(id), None, Some(limit as u64));
        if let Some(page) = self.ask(channel, query.expect("one place")).await {
            assert_eq!(said(&page), [older, newer].concat());
        }
    }

    /// All pages from the newest to the oldest, or the other way round.
    async fn walk(&mut self, channel: &ChannelName, chance: &mut Chance) {
        let limit = 20 + chance.below(181);
        let backwards = chance.one_in(2);
        let first = (!backwards).then_some(Id::ZERO);
        let mut query = PageQuery::new(None, first, None, None, Some(limit));
        let mut all = Vec::new();
        loop {
            let Some(page) = self.ask(channel, query.expect("one place")).await else {
                return;
            };
            let found = said(&page);
            all = if backwards {
                [found, all].concat()
            } else {
                [all, found].concat()
            };
            let Some(next) = page.next else { break };
            query = PageQuery::new(None, None, None, Some(&next), Some(limit));
        }
        assert_eq!(all, self.model.of(channel).said);
    }

    /// A session that joins behind somewhere gets the rest, once and in order, and nothing on top.
    async fn resume(&mut self, channel: &ChannelName, chance: &mut Chance) {
        let model = self.model.of(channel);
        let after = somewhere(&model.said, chance).min(
            self.server
                .log
                .lock(self.server.log.partition_of(channel))
                .fold
                .last_id(),
        );
        let missed = model.after(after).to_vec();
        // Who is a member is what the roster says, and the roster may not be had.
        let lacked = self.server.lacks(channel);
        let buffer = *chance.of(&[256, 4096, 1 << 20]);
        let mut client = Client::connect(self.server, &self.tokens[0], buffer).await;
        client.join(channel.as_str(), Some(after.to_string())).await;
        let mut got = Vec::new();
        let mut left = false;
        while got.len() < missed.len() || !left {
            if got.len() == missed.len() && !left {
                left = true;
                client.leave(channel.as_str()).await;
            }
            let frame = within(client.next()).await.expect("the session goes on");
            match frame["type"].as_str() {
                Some("joined") => assert_eq!(frame["resumed"], true),
                Some("message") => got.push(said_in(&frame)),
                Some("left") => break,
                Some("reaction") => {}
                _ => {
                    assert_eq!(frame["error"]["code"], "history_unavailable", "{frame}");
                    assert!(lacked, "refused without need: {frame}");
                    return;
                }
            }
        }
        assert_eq!(got, missed);
    }

    /// Channels and memberships, read anew.
    pub async fn rosters(&mut self) {
        self.server.chat.hub.forget_idle(u64::MAX);
        for name in &self.cast.channels {
            let Some(found) = self.open(name).await else {
                continue;
            };
            let model = self.model.of(name);
            let members: Vec<_> = found.read(|r| r.members().collect());
            assert_eq!(members, model.members(), "{name}");
            let topic = found.read(|r| r.topic().map(str::to_owned));
            assert_eq!(topic, model.topic);
            assert_eq!(found.read(|r| r.is_archived()), model.archived);
        }
        self.memberships().await;
        self.list().await;
    }

    async fn memberships(&mut self) {
        let lacked = self.cast.channels.iter().any(|c| self.server.lacks(c));
        for user in self.cast.others.iter().chain(&self.cast.people) {
            let found = self.server.chat.channels_of(user, None, 200).await;
            let Some(found) = answered(self.server, lacked, found) else {
                continue;
            };
            let found: BTreeSet<_> = found.channels.into_iter().map(|c| c.name).collect();
            let all = self.cast.channels.iter().cloned();
            let wanted: BTreeSet<_> = all.filter(|c| self.model.of(c).is_member(user)).collect();
            assert_eq!(found, wanted, "{user}");
        }
    }

    async fn list(&mut self) {
        let lacked = self.cast.channels.iter().any(|c| self.server.lacks(c));
        let page = self.server.chat.list_channels(self.reader(), None, 100);
        let Some(page) = answered(self.server, lacked, page.await) else {
            return;
        };
        let listed: BTreeMap<_, _> = page
            .channels
            .into_iter()
            .map(|c| (c.name.clone(), c))
            .collect();
        for name in &self.cast.channels {
            let (model, listed) = (self.model.of(name), &listed[name]);
            assert_eq!(listed.topic, model.topic);
            assert_eq!(listed.state == "archived", model.archived);
        }
    }

    /// Waits until the archiver has stored all, and reads it without the tail: everything once, and
    /// numbered without a gap.
    pub async fn stored(&mut self) {
        self.settle().await;
        let server = self.server;
        eventually("everything is stored", async || {
            server.assert_nothing_stopped();
            let done = |p| self.model.is_empty(p) || server.log.mark(p).id == self.model.last_id(p);
            server.log.partitions().all(done).then_some(())
        })
        .await;
        for name in &self.cast.channels {
            let range = MessageRange::Oldest {
                after: Id::ZERO,
                before: Id::MAX,
            };
            let rows = self.server.history.messages(name, range, usize::MAX >> 1);
            let rows = rows.await.expect("history is there");
            let numbers: Vec<_> = rows.iter().map(|row| row.n).collect();
            assert_eq!(numbers, (1..=rows.len() as u64).collect::<Vec<_>>());
            let rows: Vec<_> = rows
                .into_iter()
                .map(|row| Said {
                    id: row.id,
                    sender: row.sender,
                    text: row.text,
                    client_msg_id: row.client_msg_id,
                })
                .collect();
            assert_eq!(rows, self.model.of(name).said);
        }
    }
}

/// An id of a message, or one beside it, or one of the ends.
pub fn somewhere(all: &[Said], chance: &mut Chance) -> Id {
    if all.is_empty() || chance.one_in(8) {
        return Id::ZERO;
    }
    let id = match chance.below(8) {
        0 => all[all.len() - 1].id,
        1 => Id::from_u64(all[all.len() - 1].id.as_u64() - 1).expect("above zero"),
        _ => chance.of(all).id,
    };
    let step = chance.below(3);
    Id::from_u64(id.as_u64() + step - 1).expect("an id is small")
}

fn said(page: &Page) -> Vec<Said> {
    let messages = page.messages.iter();
    messages
        .map(|m| said_in(&serde_json::from_str(m.get()).expect("an object")))
        .collect()
}

pub fn said_in(object: &Value) -> Said {
    let text = |field: &str| object[field].as_str().map(str::to_owned);
    Said {
        id: id_in(object),
        sender: text("sender")
            .and_then(|s| UserName::parse(&s).ok())
            .expect("a sender"),
        text: text("text").expect("a text"),
        client_msg_id: text("client_msg_id")
            .map(|c| lakechat_core::domain::ClientMsgId::parse(&c).expect("what was sent")),
    }
}

pub fn id_in(object: &Value) -> Id {
    let id = object["id"].as_str().expect("an id");
    id.parse().expect("20 digits")
}
