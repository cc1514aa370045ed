//! What a client missed in a channel, for a resume.
//!
//! Missed messages come in their current state. Each kind of change of a message that the client knows
//! comes once, at the place of the last one: an edit with the text, a reaction with the counts, a deletion alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Chat;
use crate::chat::hub::HubChannel;
use crate::chat::log::entry::Entry;
use crate::chat::read::{MissedRange, ReadEvent, ReadMessage};
use crate::chat::wire::{Frame, events};
use crate::domain::{Change, ChangeKind, Id, Problem, UserName};
use crate::keyed_memory::ReservedMemory;

/// A part of what a client missed, in order.
pub struct Missed {
    pub events: BTreeMap<Id, MissedEvent>,
    /// With these events the client has everything up to here.
    pub up_to: Id,
    /// The memory of the events; None if all are in the tail, which counts them itself.
    memory: Option<ReservedMemory>,
}

pub enum MissedEvent {
    Message(ReadMessage),
    /// A change in the tail, as live receivers got it.
    Live(Arc<Entry>),
    /// A change in history, with the state of its message.
    Change(Change, Arc<ReadMessage>),
}

impl Chat {
    /// About `limit` events of a range, perhaps fewer, although there are more. The join has passed the
    /// barrier, and this server has folded all of the range.
    ///
    /// If the tail has the range, no back end is needed: a storm of reconnects costs no reads.
    pub async fn missed(
        &self,
        channel: &HubChannel,
        reader: &UserName,
        range: MissedRange,
        limit: usize,
    ) -> Result<Missed, Problem> {
        if let Some(found) = self.reads.events_in_tail(channel, reader, range, limit) {
            let MissedEvents { events, .. } = missed_events(found.events);
            return Ok(Missed {
                events,
                up_to: found.up_to,
                memory: None,
            });
        }
        // For as many messages, and as many changes with the state of their messages.
        let (count, bytes) = self.one_read(2 * limit);
        let bytes = bytes + self.most_json_bytes();
        let memory = self.reserve(reader, bytes).await?;
        let found = self.reads.events(channel, range, count.div_ceil(2)).await?;
        let MissedEvents {
            mut events,
            changes,
        } = missed_events(found.events);
        for (target, changes) in changes {
            // None: it was erased for good.
            let Some(message) = self.reads.message(channel, target).await? else {
                continue;
            };
            let message = Arc::new(message);
            let last = changes.into_reported(message.state().deleted_at_ms.is_some());
            events.extend(last.map(|c| (c.id, MissedEvent::Change(c, message.clone()))));
        }
        Ok(Missed {
            events,
            up_to: found.up_to,
            memory: Some(memory),
        })
    }
}

/// The events that a client gets.
#[derive(Default)]
struct MissedEvents {
    events: BTreeMap<Id, MissedEvent>,
    /// The changes in history, by message.
    changes: HashMap<Id, LastChanges>,
}

/// The last change of each kind of a message.
#[derive(Default)]
struct LastChanges {
    edit: Option<Change>,
    reaction: Option<Change>,
    deletion: Option<Change>,
}

impl LastChanges {
    fn add(&mut self, change: Change) {
        let last = match change.kind {
            ChangeKind::Edit { .. } => &mut self.edit,
            ChangeKind::React { .. } => &mut self.reaction,
            ChangeKind::Delete => &mut self.deletion,
        };
        *last = Some(change);
    }

    /// Of a deleted message only the deletion is reported. The others came before it, so it may be in a
    /// later page.
    fn into_reported(self, is_deleted: bool) -> impl Iterator<Item = Change> {
        let others = [self.edit, self.reaction].into_iter().flatten();
        others.filter(move |_| !is_deleted).chain(self.deletion)
    }
}

fn missed_events(events: BTreeMap<Id, ReadEvent>) -> MissedEvents {
    let mut missed = MissedEvents::default();
    for (id, event) in events {
        match event {
            ReadEvent::Message(message) => {
                missed.events.insert(id, MissedEvent::Message(message));
            }
            ReadEvent::Live(entry) => {
                missed.events.insert(id, MissedEvent::Live(entry));
            }
            ReadEvent::Change(change) => {
                missed.changes.entry(change.target).or_default().add(change);
            }
        }
    }
    missed
}

impl Missed {
    /// The frame of an event; none if clients don't get it. A frame that isn't shared holds its memory
    /// until it is written.
    pub fn frame(
        &mut self,
        event: &MissedEvent,
        channel: &HubChannel,
        reader: &UserName,
    ) -> Option<Frame> {
        let frame = match event {
            MissedEvent::Live(entry) => return entry.frame.clone(),
            MissedEvent::Message(message) if message.is_shared() => {
                return Some(message.frame(channel, reader));
            }
            MissedEvent::Message(message) => message.frame(channel, reader),
            MissedEvent::Change(change, message) => {
                events::missed(&channel.name, change, &message.state(), reader)
            }
        };
        Some(match &mut self.memory {
            Some(memory) => {
                let own = memory.split(frame.size_bytes());
                frame.holding(own)
            }
            None => frame,
        })
    }
}
