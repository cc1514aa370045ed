//! What this server says of its sessions, and what of it Redis has yet to hear.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::origin::{Entry, Origin};
use lakechat_core::domain::{ChannelName, UserName};
use lakechat_core::ports::presence::LiveSessions;

/// A change on its way to the writer.
#[derive(Debug)]
pub enum Told {
    Began(Uuid, Entry),
    Ended(Uuid),
    Joined(Uuid, ChannelName),
    Left(Uuid, ChannelName),
}

/// The state that Redis should have, and the difference to what it was told successfully.
///
/// It holds states and no events: of what comes and goes between two writes only the outcome is
/// written, and writing again what may have been written does no harm.
#[derive(Debug, Default)]
pub struct Entries {
    live: HashMap<Uuid, Live>,
    unsaid: Unsaid,
}

#[derive(Debug)]
struct Live {
    entry: Arc<Entry>,
    channels: HashSet<ChannelName>,
}

/// What is to be written. A key stands in one of two opposite sets at most.
#[derive(Debug, Default)]
pub struct Unsaid {
    pub began: HashMap<Uuid, Arc<Entry>>,
    pub ended: HashMap<Uuid, UserName>,
    /// Members by channel.
    pub joined: HashMap<ChannelName, HashSet<Arc<str>>>,
    pub left: HashMap<ChannelName, HashSet<Arc<str>>>,
}

impl Entries {
    pub fn apply(&mut self, told: Told) {
        match told {
            Told::Began(id, entry) => self.begin(id, entry),
            Told::Ended(id) => self.end(id),
            Told::Joined(id, channel) => self.join(id, channel),
            Told::Left(id, channel) => self.leave(id, &channel),
        }
    }

    /// How many sessions are spoken for.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn unsaid(&self) -> &Unsaid {
        &self.unsaid
    }

    /// All that was unsaid has been written.
    pub fn said(&mut self) {
        self.unsaid = Unsaid::default();
    }

    /// Takes over what the server knows of its sessions, and leaves all of it to be said again.
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
            for channel in self.gone_from(id, &joined) {
                self.leave(id, &channel);
            }
            joined
                .into_iter()
                .for_each(|channel| self.join(id, channel));
            let entry = self.live.get(&id).map(|live| live.entry.clone());
            self.unsaid.began.extend(entry.map(|entry| (id, entry)));
        }
    }

    /// Takes everything back.
    pub fn clear(&mut self) {
        let known: Vec<Uuid> = self.live.keys().copied().collect();
        known.into_iter().for_each(|id| self.end(id));
    }

    fn gone_from(&self, id: Uuid, joined: &HashSet<ChannelName>) -> Vec<ChannelName> {
        let live = self.live.get(&id).into_iter();
        let said = live.flat_map(|live| &live.channels);
        said.filter(|c| !joined.contains(*c)).cloned().collect()
    }

    fn begin(&mut self, id: Uuid, entry: Entry) {
        let entry = Arc::new(entry);
        let live = self.live.entry(id).or_insert_with(|| Live {
            entry,
            channels: HashSet::new(),
        });
        self.unsaid.began.insert(id, live.entry.clone());
    }

    fn end(&mut self, id: Uuid) {
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        self.unsaid.began.remove(&id);
        self.unsaid.ended.insert(id, live.entry.user.clone());
        for channel in &live.channels {
            self.unsaid.leave(channel, &live.entry.member);
        }
    }

    /// A session that is not known has ended, or its beginning was lost: the refresh tells.
    fn join(&mut self, id: Uuid, channel: ChannelName) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        self.unsaid.join(&channel, &live.entry.member);
        live.channels.insert(channel);
    }

    fn leave(&mut self, id: Uuid, channel: &ChannelName) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        if live.channels.remove(channel) {
            self.unsaid.leave(channel, &live.entry.member);
        }
    }
}

impl Unsaid {
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
