//! The log, the servers, the clients, and the queue of events.

mod clients;
mod servers;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::chance::{Chance, HOUR, MINUTE};
use super::client::{Answer, Client};
use super::server::Server;
use crate::chat::log::fold::{Fold, KeyHasher};
use crate::chat::log::record::Record;
use crate::domain::{Id, UserName};

use super::super::tests::logs::{Entry, Folded, Log, PARTITION, START_MS};

const SPAN_MS: u64 = 3 * HOUR;

/// A send on its way through a server.
#[derive(Clone, Debug)]
pub struct Frame {
    pub server: usize,
    /// The server's process that reads the frame, set when it does.
    pub boot: u32,
    pub session: u64,
    pub client: usize,
    pub send: usize,
    /// The server sets `received_at` when it reads the frame.
    pub record: Record,
    pub try_number: u64,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// A client composes a message; connects and sends its outbox; sends a duplicate.
    Speak(usize),
    Connect(usize),
    Double(usize, usize),
    /// A client times out on a send in a session.
    Patience(usize, u64, usize),
    Answered(usize, u64, usize, Answer),
    /// A frame is read from the socket; looked up; published; appended to the log.
    Read(Frame),
    Look(Frame),
    Leave(Frame),
    Append(Frame),
    /// A server (and its process) folds up to an offset.
    See(usize, u32, usize),
    Deadline(Frame),
    Stop(usize, u64),
    Wake(usize),
    Kill(usize),
    StepServer(usize),
    StepLog,
}

/// How often each kind of event happened, over all histories.
#[derive(Debug, Default)]
pub struct Happened {
    counts: BTreeMap<&'static str, u64>,
}

impl Happened {
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    pub fn add(&mut self, other: &Happened) {
        for (what, n) in &other.counts {
            *self.counts.entry(what).or_insert(0) += n;
        }
    }

    /// Whether every possible course of a send occurred.
    pub fn everything(&self) -> bool {
        let all = [
            "acked",
            "answered by the own window",
            "clock steps",
            "conflict",
            "deadline",
            "dropped unread",
            "kills",
            "late",
            "lost on the way",
            "refused as not up to date",
            "repeat",
            "stopped in mid-send",
        ];
        all.iter().all(|what| self.counts.contains_key(what))
    }
}

pub struct World {
    chance: Chance,
    wild: bool,
    now: u64,
    queue: BTreeMap<Reverse<(u64, u64)>, Event>,
    events: u64,
    sessions: u64,
    tries: u64,
    log_skew: i64,
    pub log: Log,
    /// When each record was appended, by the true time, and its frame.
    appended: Vec<(u64, Frame)>,
    /// Folds the whole log. The servers' folds must agree with it.
    reader: Fold,
    pub folded: Folded,
    servers: Vec<Server>,
    pub clients: Vec<Client>,
    pub happened: Happened,
}

impl World {
    pub fn run(seed: u64) -> World {
        let mut world = World::new(seed);
        while let Some((Reverse((at, _)), event)) = world.queue.pop_last() {
            world.now = at;
            world.handle(event);
        }
        world
    }

    /// Whether clocks, including the log's, go wrong by hours. Then the window may evict a first
    /// try while its client still retries.
    pub fn is_wild(&self) -> bool {
        self.wild
    }

    fn new(seed: u64) -> World {
        let mut chance = Chance::new(seed);
        let now = START_MS;
        let wild = chance.one_in(4);
        let mut world = World {
            wild,
            now,
            queue: BTreeMap::new(),
            events: 0,
            sessions: 0,
            tries: 0,
            log_skew: chance.skew(wild),
            log: Vec::new(),
            appended: Vec::new(),
            reader: Fold::new(PARTITION, Id::ZERO, KeyHasher::default()),
            folded: Vec::new(),
            servers: (0..3).map(|_| Server::new(now)).collect(),
            clients: Vec::new(),
            happened: Happened::default(),
            chance,
        };
        world.set_up_servers();
        world.set_up_clients();
        for _ in 0..world.chance.below(6) {
            let at = now + world.chance.below(SPAN_MS);
            world.at(at, Event::StepLog);
        }
        world
    }

    fn set_up_servers(&mut self) {
        for server in 0..self.servers.len() {
            let broken = self.chance.one_in(12);
            self.servers[server].broken = broken;
            self.servers[server].skew = if broken {
                self.chance.hours_off()
            } else {
                self.chance.skew(self.wild)
            };
            for _ in 0..self.chance.below(4) {
                let (at, stop) = (self.chance.below(SPAN_MS), self.chance.stop());
                self.at(self.now + at, Event::Stop(server, stop));
            }
            for _ in 0..self.chance.below(3) {
                let at = self.now + self.chance.below(SPAN_MS);
                self.at(at, Event::Kill(server));
            }
            for _ in 0..self.chance.below(4) {
                let at = self.now + self.chance.below(SPAN_MS);
                self.at(at, Event::StepServer(server));
            }
        }
    }

    fn set_up_clients(&mut self) {
        for client in 0..3 {
            let name = UserName::parse(&format!("u{client}")).unwrap();
            let hostile = self.chance.one_in(4);
            self.clients.push(Client::new(name, hostile));
            // Short gaps make sends overlap, so that they are pipelined.
            let mut at = self.now;
            for _ in 0..8 {
                at += match self.chance.below(4) {
                    0 => self.chance.below(100),
                    1 => self.chance.below(MINUTE),
                    2 => self.chance.below(12 * MINUTE),
                    _ => self.chance.below(SPAN_MS / 6),
                };
                self.at(at, Event::Speak(client));
            }
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.events += 1;
        self.queue.insert(Reverse((at, self.events)), event);
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Speak(client) => self.speak(client),
            Event::Connect(client) => self.connect(client),
            Event::Double(client, send) => self.double(client, send),
            Event::Patience(client, session, send) => self.lose_patience(client, session, send),
            Event::Answered(client, session, send, answer) => {
                self.answered(client, session, send, answer);
            }
            Event::Append(frame) => self.append(frame),
            Event::Stop(server, stop) => self.stop(server, stop),
            Event::Wake(server) => self.wake(server),
            Event::Kill(server) => self.kill(server),
            Event::StepServer(server) => {
                if !self.servers[server].broken {
                    self.servers[server].skew = self.chance.skew(self.wild);
                    self.happened.count("clock steps");
                }
            }
            Event::StepLog => self.step_log(),
            Event::Read(_)
            | Event::Look(_)
            | Event::Leave(_)
            | Event::See(..)
            | Event::Deadline(_) => self.handle_in_server(event),
        }
    }

    /// In wild histories the servers' clocks may step with the log's.
    fn step_log(&mut self) {
        self.happened.count("clock steps");
        self.log_skew = self.chance.skew(self.wild);
        if self.wild && self.chance.one_in(2) {
            for server in self.servers.iter_mut().filter(|s| !s.broken) {
                server.skew = self.log_skew;
            }
        }
    }

    fn append(&mut self, frame: Frame) {
        let append_ms = self.now.saturating_add_signed(self.log_skew);
        let folded = self.reader.next(append_ms, Some(&frame.record));
        match folded.1.as_str() {
            "accepted" => {}
            other => self.happened.count(other),
        }
        self.folded.push(folded);
        self.log.push(Entry {
            append_ms,
            record: Some(frame.record.clone()),
        });
        self.appended.push((self.now, frame));
        for server in 0..self.servers.len() {
            self.will_see(server);
        }
    }
}
