//! Reads a channel: history up to the mark and the tail above it, as one sequence of messages.
//!
//! A read first passes the barrier. After that, history or the tail has every message that was
//! acked before the read began.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::hub::HubChannel;
use super::log::Log;
use super::wire::{self, Frame, MessageObject};
use crate::chat::log::barrier::Barrier;
use crate::chat::log::entry::Entry;
use crate::domain::{Code, Id, Message, Partition, Problem, UserName};
use crate::ports::History;
use crate::ports::history::{Mark, MessageRange};
use crate::ports::problem::history_unavailable;

/// How often a read is tried while the tail evicts records that it needs.
const TRIES: usize = 4;

/// A message from history or from the tail.
#[derive(Clone, Debug)]
pub enum ReadMessage {
    /// A row of history.
    Row(Box<Message>),
    /// An entry of the tail; always an accepted message.
    Tail(Arc<Entry>),
}

impl ReadMessage {
    pub fn id(&self) -> Id {
        match self {
            ReadMessage::Row(message) => message.id,
            ReadMessage::Tail(entry) => entry.id,
        }
    }

    /// The frame that delivers the message to `reader`.
    pub fn frame(&self, channel: &HubChannel, reader: &UserName) -> Frame {
        match self {
            ReadMessage::Row(message) => wire::message_frame(&channel.name, message, reader),
            ReadMessage::Tail(entry) => entry.frame.clone().expect("messages have frames"),
        }
    }

    /// The message as JSON for a page of history.
    pub fn object(&self, channel: &HubChannel, reader: &UserName) -> Box<RawValue> {
        let text = match self {
            ReadMessage::Row(message) => {
                serde_json::to_string(&MessageObject::of_row(message, reader))
                    .expect("messages have string keys")
            }
            ReadMessage::Tail(_) => {
                wire::object_in_frame(&channel.name, &self.frame(channel, reader))
            }
        };
        RawValue::from_string(text).expect("it was just encoded")
    }
}

/// Joins history and the tails, and holds the barrier that a read has to pass first.
pub struct Reads {
    log: Arc<Log>,
    history: Arc<dyn History>,
    barrier: Arc<Barrier>,
}

impl Reads {
    pub fn new(log: Arc<Log>, history: Arc<dyn History>, barrier: Arc<Barrier>) -> Reads {
        Reads {
            log,
            history,
            barrier,
        }
    }

    pub fn barrier(&self) -> &Barrier {
        &self.barrier
    }

    pub fn history(&self) -> &dyn History {
        self.history.as_ref()
    }

    /// Returns up to `limit` messages of a channel in a range, oldest first.
    ///
    /// The caller has passed the barrier, once for all pages of one response.
    /// `history_unavailable`: history fails, or the tail has evicted records that history doesn't
    /// have.
    pub async fn messages(
        &self,
        channel: &HubChannel,
        range: MessageRange,
        limit: usize,
    ) -> Result<Vec<ReadMessage>, Problem> {
        for _ in 0..TRIES {
            let tail = self.tail(channel, range, limit);
            let Some(above) = tail.needs_below else {
                return Ok(tail.found);
            };
            // The mark is read after the tail. So every archived record that the tail had evicted
            // by then is at or below the mark.
            let mark = self.mark(channel.partition);
            if above > mark.id {
                return Err(behind());
            }
            let rows = self.rows(channel, range, mark.id, limit).await?;
            if let Some(found) = self.join(channel, range, mark.id, limit, rows) {
                return Ok(found);
            }
        }
        Err(behind())
    }

    /// The same from the tail alone, if it has the whole range. It touches no back end.
    pub fn messages_in_tail(
        &self,
        channel: &HubChannel,
        range: MessageRange,
        limit: usize,
    ) -> Option<Vec<ReadMessage>> {
        let tail = self.tail(channel, range, limit);
        tail.needs_below.is_none().then_some(tail.found)
    }

    fn mark(&self, partition: Partition) -> Mark {
        self.log.mark(partition)
    }

    /// The part of a range that the tail has. For the newest messages the tail may be enough even
    /// if the range begins below it.
    fn tail(&self, channel: &HubChannel, range: MessageRange, limit: usize) -> TailPart {
        let state = self.log.lock(channel.partition);
        let above = state.tail.above();
        let (MessageRange::Newest { after, before } | MessageRange::Oldest { after, before }) =
            range;
        let entries = state.tail.within(&channel.name, after.max(above), before);
        let (found, has_all): (Vec<_>, _) = match range {
            MessageRange::Oldest { .. } if after < above => (Vec::new(), false),
            MessageRange::Oldest { .. } => (messages(entries).take(limit).collect(), true),
            MessageRange::Newest { .. } => {
                let mut found: Vec<_> = messages(entries.rev()).take(limit).collect();
                found.reverse();
                let has_all = found.len() == limit || after >= above;
                (found, has_all)
            }
        };
        TailPart {
            found,
            needs_below: (!has_all).then_some(above),
        }
    }

    async fn rows(
        &self,
        channel: &HubChannel,
        mut range: MessageRange,
        mark: Id,
        limit: usize,
    ) -> Result<Vec<Message>, Problem> {
        let (MessageRange::Newest { before, .. } | MessageRange::Oldest { before, .. }) =
            &mut range;
        // An archiver may have written rows above the mark already. Those messages come from the
        // tail, or they would appear twice.
        *before = (*before).min(next(mark));
        self.history
            .messages(&channel.name, range, limit)
            .await
            .map_err(history_unavailable)
    }

    /// Joins the rows up to the mark with the tail above it. None if the tail has evicted a record
    /// above the mark in the meantime.
    fn join(
        &self,
        channel: &HubChannel,
        range: MessageRange,
        mark: Id,
        limit: usize,
        rows: Vec<Message>,
    ) -> Option<Vec<ReadMessage>> {
        let state = self.log.lock(channel.partition);
        if state.tail.above() > mark {
            return None;
        }
        let mut found: Vec<_> = rows
            .into_iter()
            .map(|row| ReadMessage::Row(Box::new(row)))
            .collect();
        let (MessageRange::Newest { after, before } | MessageRange::Oldest { after, before }) =
            range;
        let entries = messages(state.tail.within(&channel.name, after.max(mark), before));
        match range {
            MessageRange::Oldest { .. } => found.extend(entries.take(limit - found.len())),
            MessageRange::Newest { .. } => {
                found.extend(entries);
                found.drain(..found.len().saturating_sub(limit));
            }
        }
        Some(found)
    }
}

struct TailPart {
    found: Vec<ReadMessage>,
    /// Some if the tail doesn't have the whole range: it has only ids above this one.
    needs_below: Option<Id>,
}

fn messages<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
) -> impl Iterator<Item = ReadMessage> {
    entries
        .filter(|e| e.is_message())
        .map(|e| ReadMessage::Tail(e.clone()))
}

/// The smallest id above `id`.
fn next(id: Id) -> Id {
    Id::from_u64(id.as_u64() + 1).unwrap_or(Id::MAX)
}

/// The problem of a read whose messages are neither in history nor in the tail.
pub fn behind() -> Problem {
    let text =
        "History is behind: some messages are neither stored nor in memory; try again later.";
    Problem::new(Code::HistoryUnavailable, text).retry_after_ms(5_000)
}
