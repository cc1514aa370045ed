//! Reads what happened in a channel, for those who were away: messages and changes, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Reads, TRIES, behind, next};
use crate::chat::hub::HubChannel;
use crate::chat::log::entry::Entry;
use crate::chat::log::record::Body;
use crate::chat::log::tail::Tail;
use crate::chat::read::ReadMessage;
use crate::domain::{Change, Id, Problem, UserName};
use crate::ports::history::MessageRange;
use crate::ports::problem::history_unavailable;

/// What a client lacks of a channel.
#[derive(Clone, Copy, Debug)]
pub struct MissedRange {
    /// The client knew the messages up to here when it came back.
    pub known: Id,
    /// It has got everything up to here.
    pub after: Id,
    /// The last id that it is to get. This server has folded everything up to it.
    pub up_to: Id,
}

/// Something that clients get.
#[derive(Clone, Debug)]
pub enum ReadEvent {
    Message(ReadMessage),
    /// An entry of the tail that changes a message that the client knows. Live receivers got its frame.
    Live(Arc<Entry>),
    /// A change of such a message, as history has it: an edit without its text.
    Change(Change),
}

/// The first events of a range, by id. Changes of messages above `known` are left out: these messages
/// come, or came, in their current state. So are changes that later ones replace, as far as the tail
/// shows them.
#[derive(Debug)]
pub struct ReadEvents {
    pub events: BTreeMap<Id, ReadEvent>,
    /// Up to where they are all that there is: the range's end, unless there are more.
    pub up_to: Id,
}

impl Reads {
    /// The first events of a range, from about `limit` messages and as many changes. The caller has
    /// passed the barrier.
    pub async fn events(
        &self,
        channel: &HubChannel,
        range: MissedRange,
        limit: usize,
    ) -> Result<ReadEvents, Problem> {
        let (after, before) = (range.after, next(range.up_to));
        let oldest = MessageRange::Oldest { after, before };
        let messages = self.messages(channel, oldest, limit).await?;
        let changes = self.changes(channel, after, before, limit).await?;
        let last_message = messages.last().filter(|_| messages.len() == limit);
        let last_change = changes.last().filter(|_| changes.len() == limit);
        let ends = [last_message.map(ReadMessage::id), last_change.map(|c| c.id)];
        let up_to = ends.into_iter().flatten().fold(range.up_to, Id::min);

        let messages = messages.into_iter();
        let messages = messages.map(|m| (m.id(), ReadEvent::Message(m)));
        let changes = changes.into_iter().filter(|c| c.target <= range.known);
        let changes = changes.map(|c| (c.id, ReadEvent::Change(c)));
        let mut events: BTreeMap<_, _> = messages.chain(changes).collect();
        events.retain(|id, _| *id <= up_to);
        Ok(ReadEvents { events, up_to })
    }

    /// The same from the tail alone, if it has the whole range and the frames; up to `limit` events.
    pub fn events_in_tail(
        &self,
        channel: &HubChannel,
        reader: &UserName,
        range: MissedRange,
        limit: usize,
    ) -> Option<ReadEvents> {
        let state = self.log.lock(channel.partition);
        let tail = &state.tail;
        if range.after < tail.above() {
            return None;
        }
        let mut events = BTreeMap::new();
        for entry in tail.within(&channel.name, range.after, next(range.up_to)) {
            if events.len() == limit {
                break;
            }
            if entry.is_message() {
                let message = in_tail(tail, channel, entry);
                events.insert(entry.id, ReadEvent::Message(message));
            } else if entry.target().is_some_and(|target| target <= range.known)
                && !is_replaced(tail, channel, reader, entry)
            {
                if entry.lacks_frame() {
                    return None;
                }
                events.insert(entry.id, ReadEvent::Live(entry.clone()));
            }
        }
        let last = events.last_key_value().filter(|_| events.len() == limit);
        let up_to = last.map_or(range.up_to, |(id, _)| *id);
        Some(ReadEvents { events, up_to })
    }

    /// One message of a channel, if it exists. The caller has passed the barrier.
    pub async fn message(
        &self,
        channel: &HubChannel,
        id: Id,
    ) -> Result<Option<ReadMessage>, Problem> {
        let Some(after) = id.as_u64().checked_sub(1).and_then(Id::from_u64) else {
            return Ok(None);
        };
        let before = next(id);
        let range = MessageRange::Oldest { after, before };
        Ok(self.messages(channel, range, 1).await?.pop())
    }

    /// One message, if the tail has it. Needs no barrier: what is in the tail has happened.
    pub fn message_in_tail(&self, channel: &HubChannel, id: Id) -> Option<ReadMessage> {
        let after = Id::from_u64(id.as_u64().checked_sub(1)?)?;
        let state = self.log.lock(channel.partition);
        let mut entries = state.tail.within(&channel.name, after, next(id));
        let entry = entries.next().filter(|entry| entry.is_message())?;
        Some(in_tail(&state.tail, channel, entry))
    }

    /// The first changes with `after < id < before`: those in history up to the mark, and those in the
    /// tail above it.
    async fn changes(
        &self,
        channel: &HubChannel,
        after: Id,
        before: Id,
        limit: usize,
    ) -> Result<Vec<Change>, Problem> {
        let name = &channel.name;
        for _ in 0..TRIES {
            // As in [`Reads::messages`]: the mark is taken first, and the tail has the rest.
            let mark = self.mark(channel.partition).id;
            let stored_before = before.min(next(mark));
            let rows = self.history.changes(name, after, stored_before, limit);
            let rows = rows.await.map_err(history_unavailable)?;
            let state = self.log.lock(channel.partition);
            if state.tail.above() > mark {
                continue;
            }
            let in_tail = state.tail.within(name, after.max(mark), before);
            let in_tail = in_tail.filter_map(|entry| entry.change());
            return Ok(rows.into_iter().chain(in_tail).take(limit).collect());
        }
        Err(behind())
    }
}

/// A message of the tail, with its changes.
pub(super) fn in_tail(tail: &Tail, channel: &HubChannel, entry: &Arc<Entry>) -> ReadMessage {
    let changes = tail.changes_of(&channel.name, entry.id);
    ReadMessage::Tail(entry.clone(), changes.cloned().collect())
}

/// Whether a later change of the same message makes this one superfluous, because its frame has the same
/// fields. The frame of the reader's own reaction also has the reader's emojis.
fn is_replaced(tail: &Tail, channel: &HubChannel, reader: &UserName, entry: &Entry) -> bool {
    let (Some(target), Some(record)) = (entry.target(), entry.accepted()) else {
        return false;
    };
    let later = tail.changes_of(&channel.name, target).rev();
    let later = later.take_while(|later| later.id > entry.id);
    let mut later = later.filter_map(|later| later.accepted());
    later.any(|later| match (&later.body, &record.body) {
        (Body::Delete { .. }, _) | (Body::Edit { .. }, Body::Edit { .. }) => true,
        (Body::React { emoji, .. }, Body::React { emoji: of, .. }) => {
            record.sender != *reader || (later.sender == *reader && emoji == of)
        }
        _ => false,
    })
}
