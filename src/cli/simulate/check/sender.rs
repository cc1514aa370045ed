//! What one person sent to one channel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Memory: the posts without an answer, which the outbox of a session bounds, and as many numbers.
#[derive(Debug, Default)]
pub struct Sender {
    /// By number, with the time at which each was due.
    pub unanswered: BTreeMap<u32, Duration>,
    /// All numbers below it are settled: stored or refused.
    settled_below: u32,
    /// Those above that are settled, too.
    settled: BTreeSet<u32>,
}

impl Sender {
    /// Marks a message as stored or refused. False if it was marked before.
    pub fn settle(&mut self, seq: u32) -> bool {
        if self.is_settled(seq) {
            return false;
        }
        self.settled.insert(seq);
        while self.settled.remove(&self.settled_below) {
            self.settled_below += 1;
        }
        true
    }

    pub fn is_settled(&self, seq: u32) -> bool {
        seq < self.settled_below || self.settled.contains(&seq)
    }
}
