//! The check of one channel: nothing lost, nothing doubled, one order for all.
//!
//! Acks and received messages put messages into one order, by their ids. Everybody who is in the channel
//! has to receive all of it from the join on, in that order. It doesn't matter in which order the people's
//! events get here.
//!
//! Memory, per channel: the newest [`WINDOW`] messages (24 bytes each, 3 MiB), for each person a cursor and
//! the ids that look lost, and for each sender the posts without an answer. Whoever is further behind than
//! the window can't be checked, which counts as a fault.

mod fault;
mod sender;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub use self::fault::{Fault, FaultKind, Faults};
use self::sender::Sender;
use self::window::{Entry, Window};
use super::message::{Sent, Unexpected};
use lakechat_core::domain::Id;

/// Messages of a channel whose order is known: 11 minutes of a channel with 200 messages per second.
const WINDOW: usize = 1 << 17;

/// Ids of one person that are remembered because they look lost.
const SKIPPED: usize = 1_000;

#[derive(Debug)]
pub struct ChannelCheck {
    channel: u32,
    window: Window,
    /// Those who are in the channel.
    readers: BTreeMap<u32, Reader>,
    senders: BTreeMap<u32, Sender>,
    pub faults: Faults,
}

/// How far a person has read.
#[derive(Debug)]
struct Reader {
    /// Everything above it has to arrive.
    from: Id,
    cursor: Id,
    /// Ids below the cursor that have not arrived.
    skipped: BTreeSet<Id>,
}

impl Reader {
    /// Whether an id should have arrived.
    fn has_passed(&self, id: Id) -> bool {
        self.from < id && id < self.cursor
    }
}

impl ChannelCheck {
    pub fn new(channel: u32) -> ChannelCheck {
        ChannelCheck {
            channel,
            window: Window::new(WINDOW),
            readers: BTreeMap::new(),
            senders: BTreeMap::new(),
            faults: Faults::default(),
        }
    }

    /// A person is in the channel from an id on. Does nothing if the person is there already: a resume
    /// continues at the cursor.
    pub fn joined(&mut self, person: u32, at: Id) {
        self.readers.entry(person).or_insert_with(|| Reader {
            from: at,
            cursor: at,
            skipped: BTreeSet::new(),
        });
    }

    /// A person leaves the channel; what comes later is not for that person.
    pub fn left(&mut self, person: u32) {
        self.readers.remove(&person);
    }

    /// Where a person has to resume; None if the person is not in the channel.
    pub fn cursor(&self, person: u32) -> Option<Id> {
        self.readers.get(&person).map(|reader| reader.cursor)
    }

    /// A message is about to be sent.
    pub fn sending(&mut self, sent: Sent, due: Duration) {
        let sender = self.senders.entry(sent.sender).or_default();
        sender.unanswered.insert(sent.seq, due);
    }

    /// An ack. Returns when the message was due.
    pub fn acked(&mut self, sent: Sent, id: Id) -> Option<Duration> {
        let sender = self.senders.entry(sent.sender).or_default();
        let due = sender.unanswered.remove(&sent.seq);
        if !self.window.reaches(id) && !sender.is_settled(sent.seq) {
            let detail = "got an ack for it, which nobody received in time".to_owned();
            self.fault(
                FaultKind::Unchecked,
                Some(sent),
                Some(id),
                sent.sender,
                detail,
            );
        }
        self.place(Entry { id, sent }, sent.sender, "got an ack for it");
        due
    }

    /// A refusal for good.
    pub fn refused(&mut self, sent: Sent, refusal: &str) {
        let sender = self.senders.entry(sent.sender).or_default();
        sender.unanswered.remove(&sent.seq);
        sender.settle(sent.seq);
        let detail = format!("was answered: {refusal}");
        self.fault(FaultKind::Refused, Some(sent), None, sent.sender, detail);
    }

    /// A person received a message.
    pub fn received(&mut self, person: u32, id: Id, message: Result<Sent, Unexpected>) {
        if !self.readers.contains_key(&person) {
            return;
        }
        match message {
            Ok(sent) => self.read(person, id, sent),
            Err(Unexpected::Altered(sent)) => {
                let detail = "received it with another text".to_owned();
                self.fault(FaultKind::Altered, Some(sent), Some(id), person, detail);
                self.read(person, id, sent);
            }
            Err(Unexpected::Foreign(shown)) => {
                let detail = format!("received client_msg_id {shown}, which is not of this run");
                self.fault(FaultKind::Foreign, None, Some(id), person, detail);
            }
        }
    }

    /// Moves a person's cursor to a message that arrived.
    fn read(&mut self, person: u32, id: Id, sent: Sent) {
        self.place(Entry { id, sent }, person, "received it");
        let Some(reader) = self.readers.get_mut(&person) else {
            return;
        };
        let cursor = reader.cursor;
        if id > cursor {
            reader.cursor = id;
            self.skip_between(person, cursor, id);
            return;
        }
        let was_skipped = reader.skipped.remove(&id);
        let joined_at = reader.from;
        let late = format!("received it after {cursor}");
        if was_skipped {
            self.faults.arrived(person, id, &late);
        } else if id <= joined_at {
            let detail = format!("received it after joining at {joined_at}");
            self.fault(FaultKind::OutOfOrder, Some(sent), Some(id), person, detail);
        } else {
            let detail = format!("received it again, after {cursor}");
            self.fault(FaultKind::Doubled, Some(sent), Some(id), person, detail);
        }
    }

    /// A person received the message `to` next after `from`: what lies between was skipped.
    fn skip_between(&mut self, person: u32, from: Id, to: Id) {
        if !self.window.reaches(from) {
            let detail = format!("is more than {WINDOW} messages behind, at {from}");
            self.fault(FaultKind::Unchecked, None, Some(to), person, detail);
        }
        let between = self.window.after(from);
        let skipped: Vec<_> = between.take_while(|entry| entry.id < to).collect();
        for entry in skipped {
            self.skip(person, entry, format!("received {to} next after {from}"));
        }
    }

    fn skip(&mut self, person: u32, entry: Entry, detail: String) {
        if let Some(reader) = self.readers.get_mut(&person)
            && reader.skipped.len() < SKIPPED
        {
            reader.skipped.insert(entry.id);
        }
        let Entry { id, sent } = entry;
        self.fault(FaultKind::Lost, Some(sent), Some(id), person, detail);
    }

    /// Puts a message into the order. Those who have read on without it have lost it.
    fn place(&mut self, entry: Entry, person: u32, how: &str) {
        let Entry { id, sent } = entry;
        match self.window.find(id) {
            Some(known) if known.sent == sent => return,
            Some(known) => {
                let Sent { sender, seq, .. } = known.sent;
                let detail =
                    format!("{how}, while the id belongs to message {seq} of person {sender}");
                self.fault(FaultKind::Mixed, Some(sent), Some(id), person, detail);
                return;
            }
            None if !self.window.reaches(id) => return,
            None => self.window.insert(entry),
        }
        let sender = self.senders.entry(sent.sender).or_default();
        if !sender.settle(sent.seq) {
            let detail = match self.window.other_place(entry) {
                Some(other) => format!("{how}, and its id was {other} before"),
                None => format!("{how}, although it had been answered before"),
            };
            self.fault(FaultKind::Doubled, Some(sent), Some(id), person, detail);
        }
        let passed = self.readers.iter().filter(|(_, r)| r.has_passed(id));
        let passed: Vec<_> = passed.map(|(other, r)| (*other, r.cursor)).collect();
        for (other, cursor) in passed {
            self.skip(other, entry, format!("is at {cursor} without it"));
        }
    }

    /// Whether every post is answered and everybody has received everything.
    pub fn is_settled(&self) -> bool {
        let newest = self.window.newest();
        self.senders.values().all(|s| s.unanswered.is_empty())
            && self.readers.values().all(|r| r.cursor >= newest)
    }

    /// After the end of the run: what is still missing is lost.
    pub fn finish(&mut self) {
        let behind: Vec<_> = self.readers.iter().map(|(p, r)| (*p, r.cursor)).collect();
        for (person, cursor) in behind {
            if !self.window.reaches(cursor) {
                let detail = format!("is more than {WINDOW} messages behind, at {cursor}");
                self.fault(FaultKind::Unchecked, None, None, person, detail);
            }
            let missing: Vec<_> = self.window.after(cursor).collect();
            for entry in missing {
                let detail = format!("received nothing after {cursor}");
                self.skip(person, entry, detail);
            }
        }
        let unanswered = self.senders.iter().flat_map(|(sender, s)| {
            let seqs = s.unanswered.keys();
            seqs.map(|seq| (*sender, *seq))
        });
        let unanswered: Vec<_> = unanswered.collect();
        for (sender, seq) in unanswered {
            let channel = self.channel;
            let sent = Sent {
                channel,
                sender,
                seq,
            };
            let detail = "got no answer".to_owned();
            self.fault(FaultKind::Unanswered, Some(sent), None, sender, detail);
        }
    }

    fn fault(
        &mut self,
        kind: FaultKind,
        sent: Option<Sent>,
        id: Option<Id>,
        person: u32,
        detail: String,
    ) {
        self.faults.push(Fault {
            kind,
            channel: self.channel,
            sent,
            id,
            person,
            detail,
            found: Instant::now(),
        });
    }
}
