//! A server: its clock, its own fold of the log, and its pending sends.

use std::collections::{HashMap, HashSet};

use super::chance::SECOND;
use super::client::Answer;
use super::world::{Event, Frame};
use crate::chat::log::fold::{self, Fold, KeyHasher, Verdict};
use crate::chat::log::record::Record;
use crate::domain::Id;

use super::super::tests::logs::PARTITION;

/// Sends are refused if the fold is further behind than this, in ms.
pub const FRESH_MS: u64 = 10 * SECOND;
/// A process that was paused for longer closes its sessions without reading their frames.
pub const STOOD_STILL_MS: u64 = 30 * SECOND;
/// A send whose record wasn't folded within this time has an unknown outcome.
pub const DEADLINE_MS: u64 = 15 * SECOND;

pub struct Server {
    /// How far its clock is ahead of the true time, in ms.
    pub skew: i64,
    /// Its clock is permanently off by hours.
    pub broken: bool,
    /// Counts its restarts. The pending work of an earlier process is lost.
    pub boot: u32,
    pub fold: Fold,
    /// The first offset that it hasn't folded.
    pub folded: usize,
    pub stopped_at: Option<u64>,
    /// The events that arrived while it was paused, in order.
    pub held: Vec<Event>,
    pub sessions: HashSet<u64>,
    /// The sends that wait for their records, by the number of the try.
    pub pending: HashMap<u64, Frame>,
    /// When it resumed its requests for the log-end offset, and when it made the last one before.
    pub asks_since: u64,
    pub asked_before: u64,
    /// The times of the last scheduled steps. They keep frames in order.
    pub last_look: u64,
    pub last_wire: u64,
    pub last_append: u64,
    pub last_see: u64,
}

impl Server {
    pub fn new(now: u64) -> Server {
        Server {
            skew: 0,
            broken: false,
            boot: 0,
            fold: Fold::new(PARTITION, Id::ZERO, KeyHasher::default()),
            folded: 0,
            stopped_at: None,
            held: Vec::new(),
            sessions: HashSet::new(),
            pending: HashMap::new(),
            asks_since: now,
            asked_before: now,
            last_look: now,
            last_wire: now,
            last_append: now,
            last_see: now,
        }
    }

    pub fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.skew)
    }

    /// The answer to a send from the server's own window, if the window has its key.
    pub fn look(&self, record: &Record) -> Option<Answer> {
        let client_msg_id = record.client_msg_id.as_ref().expect("clients give one");
        let window = self.fold.window();
        let key = window.key(&record.channel, &record.sender, client_msg_id);
        match window.lookup(key, record.digest) {
            fold::WindowMatch::Unknown => None,
            fold::WindowMatch::Same(id) => Some(Answer::Ack(id)),
            fold::WindowMatch::Other(_) => Some(Answer::Conflict),
            fold::WindowMatch::TooOld => Some(Answer::Expired),
        }
    }

    /// `behind_since`: when the first record that it hasn't folded was appended. The server
    /// requests the log-end offset all the time. The last answer that its fold has passed is older
    /// than that record.
    pub fn is_fresh(&self, now: u64, behind_since: Option<u64>) -> bool {
        let asked = if now < self.asks_since {
            self.asked_before
        } else {
            now
        };
        now - asked.min(behind_since.unwrap_or(now)) <= FRESH_MS
    }
}

/// The answer to the sender of a record with this verdict.
pub fn answer(id: Id, verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Accepted => Answer::Ack(id),
        Verdict::Repeat(first) => Answer::Ack(first),
        Verdict::Conflict(_) => Answer::Conflict,
        Verdict::Expired => Answer::Expired,
        Verdict::Late => Answer::Again,
        Verdict::Deleted | Verdict::Unreadable => unreachable!("clients send messages"),
    }
}
