//! This server's sessions as Redis should have them, and what is not written yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::origin::{Origin, SessionEntry};
use lakechat_core::domain::ChannelName;
use lakechat_core::ports::presence::LiveSessions;

/// A change in the queue to the writer.
#[derive(Debug)]
pub(super) enum PendingChange {
    Began(Uuid, SessionEntry),
    Ended(Uuid),
    Joined(Uuid, ChannelName),
    Left(Uuid, ChannelName),
}

/// The state that Redis should have, and its difference to what was written successfully.
///
/// It holds states and not events: of several changes of a session between two writes only the outcome is
/// written, and writing an outcome twice has no effect.
#[derive(Debug, Default)]
pub(super) struct SessionEntries {
    live: HashMap<Uuid, LiveEntry>,
    pending: PendingWrites,
}

#[derive(Debug)]
struct LiveEntry {
    entry: Arc<SessionEntry>,
    channels: HashSet<ChannelName>,
}

/// What has to be written. A key is never in both of two opposite sets.
#[derive(Debug, Default)]
pub(super) struct PendingWrites {
    pub began: HashMap<Uuid, Arc<SessionEntry>>,
    pub ended: HashMap<Uuid, Arc<SessionEntry>>,
    /// Members by channel.
    pub joined: HashMap<ChannelName, HashSet<Arc<str>>>,
    pub left: HashMap<ChannelName, HashSet<Arc<str>>>,
}

impl SessionEntries {
    pub fn apply(&mut self, change: PendingChange) {
        match change {
            PendingChange::Began(id, entry) => self.begin(id, entry),
            PendingChange::Ended(id) => self.end(id),
            PendingChange::Joined(id, channel) => self.join(id, channel),
            PendingChange::Left(id, channel) => self.leave(id, &channel),
        }
    }

    /// The number of sessions.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn pending(&self) -> &PendingWrites {
        &self.pending
    }

    /// Everything that was pending has been written.
    pub fn mark_written(&mut self) {
        self.pending = PendingWrites::default();
    }

    /// Takes over the server's own sessions, and makes all of them pending.
    pub fn refresh(&mut self, own: &dyn LiveSessions, origin: &Origin) {
        let mut alive = HashSet::with_capacity(self.live.len());
        own.for_each(&mut |session| {
            alive.insert(session.id);
            if !self.live.contains_key(&session.id) {
                self.begin(session.id, origin.entry(&session));
            }
        });
        let mut places: HashMap<Uuid, HashSet<ChannelName>> = HashMap::new();
        own.for_each_joined_channel(&mut |channel, session| {
            places
                .entry(session.id)
                .or_default()
                .insert(channel.clone());
        });
        let known: Vec<Uuid> = self.live.keys().copied().collect();
        for id in known {
            if !alive.contains(&id) {
                self.end(id);
                continue;
            }
            let joined = places.remove(&id).unwrap_or_default();
            for channel in self.channels_left(id, &joined) {
                self.leave(id, &channel);
            }
            joined
                .into_iter()
                .for_each(|channel| self.join(id, channel));
            let entry = self.live.get(&id).map(|live| live.entry.clone());
            self.pending.began.extend(entry.map(|entry| (id, entry)));
        }
    }

    /// Ends all sessions.
    pub fn clear(&mut self) {
        let known: Vec<Uuid> = self.live.keys().copied().collect();
        known.into_iter().for_each(|id| self.end(id));
    }

    fn channels_left(&self, id: Uuid, joined: &HashSet<ChannelName>) -> Vec<ChannelName> {
        let live = self.live.get(&id).into_iter();
        let known = live.flat_map(|live| &live.channels);
        known.filter(|c| !joined.contains(*c)).cloned().collect()
    }

    fn begin(&mut self, id: Uuid, entry: SessionEntry) {
        let entry = Arc::new(entry);
        let live = self.live.entry(id).or_insert_with(|| LiveEntry {
            entry,
            channels: HashSet::new(),
        });
        self.pending.began.insert(id, live.entry.clone());
    }

    fn end(&mut self, id: Uuid) {
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        self.pending.began.remove(&id);
        for channel in &live.channels {
            self.pending.leave(channel, &live.entry.member);
        }
        self.pending.ended.insert(id, live.entry);
    }

    /// An unknown session has ended, or its beginning was dropped: the next refresh corrects that.
    fn join(&mut self, id: Uuid, channel: ChannelName) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        self.pending.join(&channel, &live.entry.member);
        live.channels.insert(channel);
    }

    fn leave(&mut self, id: Uuid, channel: &ChannelName) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        if live.channels.remove(channel) {
            self.pending.leave(channel, &live.entry.member);
        }
    }
}

impl PendingWrites {
    fn join(&mut self, channel: &ChannelName, member: &Arc<str>) {
        if let Some(left) = self.left.get_mut(channel) {
            left.remove(member);
        }
        let joined = self.joined.entry(channel.clone()).or_default();
        joined.insert(member.clone());
    }

    fn leave(&mut self, channel: &ChannelName, member: &Arc<str>) {
        if let Some(joined) = self.joined.get_mut(channel) {
            joined.remove(member);
        }
        let left = self.left.entry(channel.clone()).or_default();
        left.insert(member.clone());
    }
}

#[cfg(test)]
mod tests;
