//! A record with its id and verdict. The tail, the hub and the archiver work on entries.

use super::fold::Verdict;
use super::record::{Body, Record};
use crate::chat::wire::events::{self, Reaction};
use crate::chat::wire::{self, Frame};
use crate::domain::{Cells, Change, ChangeKind, HistoryRow, Id, Message, ReactionCounts};
use crate::ports::broker::{DeadLetter, Offset};

/// A folded record.
#[derive(Debug)]
pub struct Entry {
    pub offset: Offset,
    /// ms since 1970, by the log's clock.
    pub append_ms: u64,
    pub id: Id,
    pub verdict: Verdict,
    /// `None` if the record is unreadable.
    pub record: Option<Record>,
    /// The raw record if it is unreadable. The archiver stores it as a dead letter.
    pub dead: Option<Box<DeadLetter>>,
    /// The frame for receivers, encoded once for all of them. `None` if they don't get the record, or for
    /// a reaction whose counts are unknown: see [`Entry::lacks_frame`].
    pub frame: Option<Frame>,
}

impl Entry {
    pub fn new(
        offset: Offset,
        append_ms: u64,
        id: Id,
        verdict: Verdict,
        record: Option<Record>,
    ) -> Entry {
        let frame = match (&record, verdict) {
            (Some(record), Verdict::Accepted) => wire::live_frame(id, record),
            _ => None,
        };
        Entry {
            offset,
            append_ms,
            id,
            verdict,
            record,
            dead: None,
            frame,
        }
    }

    /// Encodes the frame of a reaction, with the counts that result.
    pub fn encode_reaction(&mut self, counts: &ReactionCounts) {
        if let Some(record) = self.accepted()
            && let Body::React {
                target, emoji, on, ..
            } = &record.body
        {
            let (channel, user) = (&record.channel, &record.sender);
            let reaction = Reaction {
                user,
                emoji,
                on: *on,
            };
            let frame = events::reaction(channel, self.id, *target, reaction, counts);
            self.frame = Some(frame);
        }
    }

    /// Whether receivers need more than the log has: the frame has to be made from the message.
    pub fn lacks_frame(&self) -> bool {
        self.frame.is_none() && self.target().is_some()
    }

    /// The entry of an unreadable record.
    pub fn unreadable(id: Id, dead: Box<DeadLetter>) -> Entry {
        let (offset, append_ms) = (dead.record.offset, dead.record.append_ms);
        let entry = Entry::new(offset, append_ms, id, Verdict::Unreadable, None);
        Entry {
            dead: Some(dead),
            ..entry
        }
    }

    /// The record, if its verdict is `accepted`.
    pub fn accepted(&self) -> Option<&Record> {
        self.record
            .as_ref()
            .filter(|_| self.verdict == Verdict::Accepted)
    }

    /// The entry's memory use, estimated.
    pub fn bytes(&self) -> usize {
        let texts = match self.record.as_ref().map(|r| &r.body) {
            Some(Body::Message { text, file, .. }) => {
                text.len()
                    + file
                        .as_ref()
                        .map_or(0, |f| f.name.len() + f.media_type.len())
            }
            Some(Body::Edit { text, .. } | Body::Topic { topic: text }) => text.len(),
            _ => 0,
        };
        let index = if self.target().is_some() { 256 } else { 0 };
        let dead = self.dead.as_ref().map_or(0, |dead| {
            size_of::<DeadLetter>() + dead.record.key.len() + dead.record.value.len()
        });
        // 128 bytes stand for the names and for the references in the tail's indexes, to which a change
        // adds a queue and the reactions of its target.
        size_of::<Entry>()
            + 128
            + index
            + texts
            + dead
            + self.frame.as_ref().map_or(0, Frame::size_bytes)
    }

    /// Whether the entry is an accepted message, which gets a number in its channel.
    pub fn is_message(&self) -> bool {
        matches!(self.body(), Some(Body::Message { .. }))
    }

    /// What the record says, if its verdict is `accepted`.
    pub fn body(&self) -> Option<&Body> {
        self.accepted().map(|record| &record.body)
    }

    /// The message that the record changes, if it is accepted and a change.
    pub fn target(&self) -> Option<Id> {
        self.body()?.target()
    }

    /// The change that the record makes, if it is accepted and a change.
    pub fn change(&self) -> Option<Change> {
        let record = self.accepted()?;
        let kind = match &record.body {
            Body::Edit { text, .. } => ChangeKind::Edit { text: text.clone() },
            Body::Delete { .. } => ChangeKind::Delete,
            Body::React { emoji, on, .. } => ChangeKind::React {
                emoji: emoji.clone(),
                on: *on,
            },
            Body::Message { .. } | Body::Member { .. } | Body::Topic { .. } | Body::Archive => {
                return None;
            }
        };
        Some(Change {
            id: self.id,
            target: record.body.target()?,
            user: record.sender.clone(),
            kind,
        })
    }

    /// The message as it was sent, if the record is accepted and a message. `n`: its number in its
    /// channel.
    pub fn message(&self, n: u64) -> Option<Message> {
        let record = self.accepted()?;
        let Body::Message {
            text,
            reply_to,
            file,
        } = &record.body
        else {
            return None;
        };
        Some(Message {
            id: self.id,
            sender: record.sender.clone(),
            text: text.clone(),
            client_msg_id: record.client_msg_id.clone(),
            n,
            reply_to: *reply_to,
            file: file.clone(),
            edited_at_ms: None,
            deleted_at_ms: None,
            changed: None,
            reactions: Default::default(),
        })
    }

    /// The row that history stores if the record is accepted. `n`: the number of a message in its
    /// channel.
    pub fn row(&self, n: u64) -> Option<HistoryRow> {
        let record = self.accepted()?;
        let id = self.id;
        let cells = match &record.body {
            Body::Message { .. } => Cells::Message(self.message(n)?),
            Body::Edit { .. } | Body::Delete { .. } | Body::React { .. } => {
                Cells::Change(self.change()?)
            }
            Body::Member { user, role } => {
                let joined = role.is_member() && *user == record.sender;
                Cells::Member {
                    id,
                    user: user.clone(),
                    role: *role,
                    joined,
                }
            }
            Body::Topic { topic } => Cells::Topic {
                id,
                topic: topic.clone(),
            },
            Body::Archive => Cells::Archived { id },
        };
        Some(HistoryRow {
            channel: record.channel.clone(),
            private: record.private,
            cells,
        })
    }
}
