//! The clients' events.

use super::super::chance::{FRAME_MS, MINUTE, SECOND};
use super::super::client::{Ack, Answer, RETRY_MS, State, digest, text};
use super::{Event, Frame, World};
use crate::chat::log::record::Record;
use crate::domain::ChannelName;

impl World {
    pub(super) fn speak(&mut self, client: usize) {
        let send = self.clients[client].compose(self.now);
        match self.clients[client].session {
            Some(session) => self.put_in_frame(client, session, send),
            None => self.connect(client),
        }
        if self.clients[client].hostile {
            for _ in 0..self.chance.below(4) {
                // A duplicate after the retry period may be stored twice. Only wild histories
                // allow that.
                let most = RETRY_MS * if self.wild { 3 } else { 1 };
                let delay = if self.chance.one_in(3) {
                    self.chance.below(SECOND)
                } else {
                    self.chance.up_to(most)
                };
                self.after(delay, Event::Double(client, send));
            }
        }
    }

    /// Opens a new session with some server, and sends the outbox in order.
    pub(super) fn connect(&mut self, client: usize) {
        let server = self.chance.index(self.servers.len());
        let session = self.open_session(server);
        let now = self.now;
        let c = &mut self.clients[client];
        (c.server, c.session, c.last_frame) = (server, Some(session), now);
        for send in c.outbox(now) {
            self.put_in_frame(client, session, send);
        }
    }

    fn open_session(&mut self, server: usize) -> u64 {
        self.sessions += 1;
        self.servers[server].sessions.insert(self.sessions);
        self.sessions
    }

    fn put_in_frame(&mut self, client: usize, session: u64, send: usize) {
        let (now, delay) = (self.now, self.chance.delay(FRAME_MS));
        let c = &mut self.clients[client];
        let s = &mut c.sends[send];
        s.session.get_or_insert(session);
        let (server, at) = (c.server, c.last_frame.max(now + delay));
        c.last_frame = at;
        let frame = self.frame(client, session, server, send);
        self.at(at, Event::Read(frame));
        let patience = self.chance.up_to(20 * SECOND);
        self.after(patience, Event::Patience(client, session, send));
    }

    fn frame(&mut self, client: usize, session: u64, server: usize, send: usize) -> Frame {
        self.tries += 1;
        let c = &self.clients[client];
        let s = &c.sends[send];
        Frame {
            server,
            boot: self.servers[server].boot,
            session,
            client,
            send,
            record: Record {
                channel: ChannelName::parse("ops").unwrap(),
                private: false,
                sender: c.name.clone(),
                client_msg_id: Some(s.key.clone()),
                digest: s.digest,
                received_at_ms: 0,
                body: s.body.clone(),
            },
            try_number: self.tries,
        }
    }

    /// Sends a duplicate, sometimes with other content, through a separate session. Nobody reads
    /// the answers of that session.
    pub(super) fn double(&mut self, client: usize, send: usize) {
        let server = self.chance.index(self.servers.len());
        let session = self.open_session(server);
        let mut frame = self.frame(client, session, server, send);
        if self.chance.one_in(5) {
            frame.record.body = text("something else");
            frame.record.digest = digest(&frame.record.body);
        }
        let delay = self.chance.delay(FRAME_MS);
        self.after(delay, Event::Read(frame));
    }

    pub(super) fn lose_patience(&mut self, client: usize, session: u64, send: usize) {
        let c = &self.clients[client];
        if c.session == Some(session) && c.sends[send].state == State::Waiting {
            self.reconnect_later(client);
        }
    }

    fn reconnect_later(&mut self, client: usize) {
        let now = self.now;
        let c = &mut self.clients[client];
        c.session = None;
        let oldest = c
            .outbox(now)
            .into_iter()
            .map(|i| c.sends[i].first_try)
            .next();
        let delay = match self.chance.below(4) {
            0 => 0,
            1 => self.chance.below(10 * SECOND),
            2 => self.chance.below(2 * MINUTE),
            // At the last moment at which the oldest send may be retried.
            _ => oldest.map_or(0, |first| first + RETRY_MS - now),
        };
        self.after(delay, Event::Connect(client));
    }

    pub(super) fn answered(&mut self, client: usize, session: u64, send: usize, answer: Answer) {
        let c = &mut self.clients[client];
        if c.session != Some(session) || c.sends[send].state != State::Waiting {
            return;
        }
        match answer {
            Answer::Ack(id) => {
                c.sends[send].state = State::Acked;
                c.acks.push(Ack {
                    client,
                    session,
                    send,
                    id,
                });
                self.happened.count("acked");
            }
            Answer::Again => self.reconnect_later(client),
            Answer::Conflict => {
                assert!(c.hostile, "only what was sent otherwise conflicts");
                c.sends[send].state = State::GivenUp;
            }
            Answer::Expired => c.sends[send].state = State::GivenUp,
        }
    }
}
