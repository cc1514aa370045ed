//! A client with an outbox. It sends, times out, and retries through any server.

use super::chance::MINUTE;
use crate::chat::log::record::{Body, Digest};
use crate::domain::{ClientMsgId, Id, UserName};

/// How long after its first try a client may retry a send.
pub const RETRY_MS: u64 = 5 * MINUTE;

pub struct Send {
    pub key: ClientMsgId,
    pub body: Body,
    pub digest: Digest,
    pub first_try: u64,
    /// The session of the first try.
    pub session: Option<u64>,
    pub state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Waiting,
    Acked,
    /// Too old to retry, or finally refused.
    GivenUp,
}

#[derive(Clone, Copy, Debug)]
pub struct Ack {
    pub client: usize,
    pub session: u64,
    pub send: usize,
    pub id: Id,
}

/// A server's answer to a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Ack(Id),
    /// The send was refused, or its outcome is unknown. A client retries in both cases.
    Again,
    Conflict,
    Expired,
}

pub struct Client {
    pub name: UserName,
    /// Sends duplicates to any server, sometimes with other content.
    pub hostile: bool,
    pub sends: Vec<Send>,
    pub server: usize,
    pub session: Option<u64>,
    /// When the session's last frame arrives at the server.
    pub last_frame: u64,
    pub acks: Vec<Ack>,
}

impl Client {
    pub fn new(name: UserName, hostile: bool) -> Client {
        Client {
            name,
            hostile,
            sends: Vec::new(),
            server: 0,
            session: None,
            last_frame: 0,
            acks: Vec::new(),
        }
    }

    pub fn compose(&mut self, now: u64) -> usize {
        let send = self.sends.len();
        let body = text(&format!("message {send}"));
        self.sends.push(Send {
            key: ClientMsgId::parse(&send.to_string()).unwrap(),
            digest: digest(&body),
            body,
            first_try: now,
            session: None,
            state: State::Waiting,
        });
        send
    }

    /// The sends to retry, in order. Gives up the sends that are too old.
    pub fn outbox(&mut self, now: u64) -> Vec<usize> {
        let too_old = |s: &Send| now - s.first_try > RETRY_MS;
        for send in &mut self.sends {
            if send.state == State::Waiting && too_old(send) {
                send.state = State::GivenUp;
            }
        }
        let waiting = |i: &usize| self.sends[*i].state == State::Waiting;
        (0..self.sends.len()).filter(waiting).collect()
    }
}

pub fn text(text: &str) -> Body {
    Body::Message {
        text: text.to_owned(),
        reply_to: None,
        file: None,
    }
}

/// A cheap hash. SHA-256 would take most of a history's time.
pub fn digest(body: &Body) -> Digest {
    let Body::Message { text, .. } = body else {
        unreachable!("clients send messages");
    };
    let number = text
        .bytes()
        .fold(7u64, |n, b| n.wrapping_mul(131) + u64::from(b));
    Digest(number)
}
