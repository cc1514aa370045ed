//! Reads a channel: history up to the mark and the tail above it, as one sequence of messages.
//!
//! A read first passes the barrier. After that, history or the tail has every message that was
//! acked before the read began. It finds each message in its state at this server's position in the
//! log, at least: the changes in the tail apply to the rows of history, too.

mod events;
mod message;

use std::sync::Arc;
use std::time::Duration;

use super::hub::HubChannel;
use super::log::Log;
use crate::chat::log::barrier::Barrier;
use crate::chat::log::entry::Entry;
use crate::chat::log::tail::Tail;
use crate::domain::{Code, Id, Message, Partition, Problem};
use crate::ports::History;
use crate::ports::history::{Mark, MessageRange};
use crate::ports::problem::history_unavailable;

pub use events::{MissedRange, ReadEvent};
pub use message::ReadMessage;

/// How often a read is tried while the tail evicts records that it needs, or rows show changes that this
/// server has not folded yet.
const TRIES: usize = 4;

/// How long a read waits for a change that a row shows already. Another server has folded it.
const AHEAD: Duration = Duration::from_secs(1);

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
            match self.join(channel, range, mark.id, limit, rows) {
                Joined::All(found) => return Ok(found),
                Joined::Evicted => {}
                Joined::Ahead(change) => self.folded(channel.partition, change).await,
            }
        }
        Err(behind())
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
            MessageRange::Oldest { .. } => {
                let found = messages(&state.tail, channel, entries);
                (found.take(limit).collect(), true)
            }
            MessageRange::Newest { .. } => {
                let found = messages(&state.tail, channel, entries.rev());
                let mut found: Vec<_> = found.take(limit).collect();
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

    /// Joins the rows up to the mark with the tail above it, and applies the tail's changes to the rows.
    fn join(
        &self,
        channel: &HubChannel,
        range: MessageRange,
        mark: Id,
        limit: usize,
        rows: Vec<Message>,
    ) -> Joined {
        let state = self.log.lock(channel.partition);
        if state.tail.above() > mark {
            return Joined::Evicted;
        }
        // A row may show changes above the mark: an archiver is about to move it. The tail has all of
        // them, and they apply again in their order. But if another server's archiver is ahead of this
        // server, an older change from the tail would replace a newer one.
        let newest = rows.iter().filter_map(|row| row.changed).max();
        if let Some(newest) = newest.filter(|newest| *newest > state.last_id()) {
            return Joined::Ahead(newest);
        }
        let mut found: Vec<_> = rows
            .into_iter()
            .map(|mut row| {
                let changes = state.tail.changes_of(&channel.name, row.id);
                message::apply(&mut row, changes.filter(|change| change.id > mark));
                ReadMessage::Row(Box::new(row))
            })
            .collect();
        let (MessageRange::Newest { after, before } | MessageRange::Oldest { after, before }) =
            range;
        let entries = state.tail.within(&channel.name, after.max(mark), before);
        let entries = messages(&state.tail, channel, entries);
        match range {
            MessageRange::Oldest { .. } => found.extend(entries.take(limit - found.len())),
            MessageRange::Newest { .. } => {
                found.extend(entries);
                found.drain(..found.len().saturating_sub(limit));
            }
        }
        Joined::All(found)
    }

    /// Waits until this server has folded an event that another one has archived. Gives up after a
    /// while; the caller looks again.
    async fn folded(&self, partition: Partition, event: Id) {
        let mut filled = self.log.filled(partition);
        let passed = filled.wait_for(|_| self.log.lock(partition).last_id() >= event);
        // Not an error either: `self.log` owns the sender.
        let _ = tokio::time::timeout(AHEAD, passed).await;
    }
}

/// The result of joining rows with the tail.
enum Joined {
    All(Vec<ReadMessage>),
    /// The tail has evicted a record above the mark in the meantime.
    Evicted,
    /// A row shows this change, which this server hasn't folded yet.
    Ahead(Id),
}

struct TailPart {
    found: Vec<ReadMessage>,
    /// Some if the tail doesn't have the whole range: it has only ids above this one.
    needs_below: Option<Id>,
}

fn messages<'a>(
    tail: &'a Tail,
    channel: &'a HubChannel,
    entries: impl Iterator<Item = &'a Arc<Entry>>,
) -> impl Iterator<Item = ReadMessage> {
    let entries = entries.filter(|e| e.is_message());
    entries.map(|entry| events::in_tail(tail, channel, entry))
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
