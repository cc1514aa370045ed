//! A server: its clock, its own fold of the log, and what is under way in it.

use std::collections::{HashMap, HashSet};

use super::chance::SECOND;
use super::client::Answer;
use super::world::{Event, Frame};
use crate::chat::log::fold::{self, Fold, KeyHasher, Verdict};
use crate::chat::log::record::Record;
use crate::domain::Id;

use super::super::tests::logs::PARTITION;

/// Sends are refused when the fold is older than this.
pub const FRESH_MS: u64 = 10 * SECOND;
/// A process that stood still for longer closes its sessions unread.
pub const STOOD_STILL_MS: u64 = 30 * SECOND;
/// A send with neither record nor report for so long is unknown.
pub const DEADLINE_MS: u64 = 15 * SECOND;

pub struct Server {
    /// Ahead of the true time.
    pub skew: i64,
    /// Its clock is off by hours for good.
    pub broken: bool,
    /// Counts its starts: what an earlier process had under way is gone.
    pub boot: u32,
    pub fold: Fold,
    /// The first offset it has not folded.
    pub folded: usize,
    pub stopped_at: Option<u64>,
    /// What came while it was stopped, in order.
    pub held: Vec<Event>,
    pub sessions: HashSet<u64>,
    /// Tries that wait for their record.
    pub pending: HashMap<u64, Frame>,
    /// Since when it has been asking for the log's end again, and when it last had before that.
    pub asks_since: u64,
    pub asked_before: u64,
    /// No later step overtakes an earlier one.
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

    /// What its own window knows of a send.
    pub fn look(&self, record: &Record) -> Option<Answer> {
        let client_msg_id = record.client_msg_id.as_ref().expect("clients give one");
        let window = self.fold.window();
        let key = window.key(&record.channel, &record.sender, client_msg_id);
        match window.look(key, record.digest) {
            fold::WindowMatch::Unknown => None,
            fold::WindowMatch::Same(id) => Some(Answer::Ack(id)),
            fold::WindowMatch::Other(_) => Some(Answer::Conflict),
            fold::WindowMatch::TooOld => Some(Answer::Expired),
        }
    }

    /// `behind_since`: when the first record that it has not folded was appended. It asks for the
    /// log's end all the time, and the last answer that its fold has passed is from before that.
    pub fn is_fresh(&self, now: u64, behind_since: Option<u64>) -> bool {
        let asked = if now < self.asks_since {
            self.asked_before
        } else {
            now
        };
        now - asked.min(behind_since.unwrap_or(now)) <= FRESH_MS
    }
}

/// What the log's word on a send is to its sender.
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
