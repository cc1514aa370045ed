//! A model of the fold's rules, as simple as possible: it scans lists from the front. It shares
//! only types with the fold.

use crate::chat::log::fold::Verdict;
use crate::chat::log::record::{Body, Digest, Record};
use crate::domain::{Id, Partition, id};

const LATE: i128 = 60_000;
const WINDOW: i128 = 600_000;

struct Entry {
    append: i128,
    key: Option<(String, String, String)>,
    digest: Digest,
    id: Id,
    fresh: bool,
    deletes: Option<(String, Id)>,
}

pub struct Model {
    partition: Partition,
    /// The clock in ms and the step.
    clock: (i128, i128),
    window: Vec<Entry>,
}

impl Model {
    pub fn new(partition: Partition) -> Model {
        Model {
            partition,
            clock: (i128::from(id::EPOCH_MS), 0),
            window: Vec::new(),
        }
    }

    pub fn next(&mut self, append_ms: u64, record: Option<&Record>) -> (Id, Verdict) {
        let append = i128::from(append_ms);
        let Some(record) = record else {
            return (self.mint(self.clock.0), Verdict::Unreadable);
        };
        if (i128::from(record.received_at_ms) - append).abs() > LATE {
            return (self.mint(self.clock.0), Verdict::Late);
        }
        let id = self.mint(append.max(self.clock.0));
        while !self.window.is_empty() && self.window[0].append < append - WINDOW {
            self.window.remove(0);
        }
        let verdict = self.judge(record);
        let key = key(record);
        self.window.push(Entry {
            append,
            fresh: key.is_some() && !self.window.iter().any(|e| e.key == key),
            key,
            digest: record.digest,
            id,
            deletes: match record.body {
                Body::Delete { target } => Some((record.channel.to_string(), target)),
                _ => None,
            },
        });
        (id, verdict)
    }

    fn judge(&self, record: &Record) -> Verdict {
        let key = key(record);
        if key.is_some() && self.window.iter().any(|e| e.key == key) {
            let first = self.window.iter().find(|e| e.fresh && e.key == key);
            return match first {
                Some(e) if e.digest == record.digest => Verdict::Repeat(e.id),
                Some(e) => Verdict::Conflict(e.id),
                None => Verdict::Expired,
            };
        }
        let target = record
            .body
            .target()
            .map(|t| (record.channel.to_string(), t));
        if target.is_some() && self.window.iter().any(|e| e.deletes == target) {
            return Verdict::Deleted;
        }
        Verdict::Accepted
    }

    fn mint(&mut self, ms: i128) -> Id {
        self.clock = match self.clock {
            (clock, step) if ms == clock && step == 4095 => (clock + 1, 0),
            (clock, step) if ms == clock => (clock, step + 1),
            _ => (ms, 0),
        };
        let since = self.clock.0 - 1_704_067_200_000;
        let number = since * (1 << 22) + i128::from(self.partition.0) * (1 << 12) + self.clock.1;
        Id::from_u64(number.try_into().expect("after 2024")).expect("63 bits")
    }
}

fn key(record: &Record) -> Option<(String, String, String)> {
    let of = record.client_msg_id.as_ref()?;
    Some((
        record.channel.to_string(),
        record.sender.to_string(),
        of.to_string(),
    ))
}
