//! The sessions of this server as presence sees them: each change, and the current state on
//! request.

use std::sync::Arc;

use super::{Hub, HubChannel, Listener};
use crate::domain::ChannelName;
use crate::ports::presence::{LiveSession, LiveSessions, SessionChange};

impl Listener {
    pub(super) fn as_live(&self) -> LiveSession<'_> {
        LiveSession {
            id: self.id,
            user: &self.user,
            address: self.address,
            since_ms: self.since_ms,
        }
    }

    /// Reports a change of the session to presence.
    pub(super) fn report(&self, change: SessionChange<'_>) {
        self.presence.session_changed(self.as_live(), change);
    }
}

impl HubChannel {
    /// A copy of the live list, so that the lock is released before the caller uses it.
    pub(super) fn listeners(&self) -> Vec<Arc<Listener>> {
        let live = self.live.lock().expect("no panic while held");
        live.iter()
            .map(|l| l.subscription.listener().clone())
            .collect()
    }
}

impl LiveSessions for Hub {
    fn for_each(&self, visit: &mut dyn FnMut(LiveSession<'_>)) {
        let sessions = self.sessions.lock().expect("no panic while held");
        let all: Vec<_> = sessions.all.values().cloned().collect();
        drop(sessions);
        all.iter().for_each(|listener| visit(listener.as_live()));
    }

    fn for_each_joined_channel(&self, visit: &mut dyn FnMut(&ChannelName, LiveSession<'_>)) {
        let channels = self.channels.read().expect("no panic while held");
        let all: Vec<_> = channels.values().cloned().collect();
        drop(channels);
        for channel in all {
            let listeners = channel.listeners();
            listeners
                .iter()
                .for_each(|listener| visit(&channel.name, listener.as_live()));
        }
    }

    fn for_each_in_channel(&self, channel: &ChannelName, visit: &mut dyn FnMut(LiveSession<'_>)) {
        let Some(channel) = self.loaded(channel) else {
            return;
        };
        let listeners = channel.listeners();
        listeners
            .iter()
            .for_each(|listener| visit(listener.as_live()));
    }
}
