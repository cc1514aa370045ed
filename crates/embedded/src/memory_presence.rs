//! Presence for a single server: it asks the server about its own sessions and stores nothing.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use lakechat_core::domain::ChannelName;
use lakechat_core::ports::Presence;
use lakechat_core::ports::presence::{
    ChannelPresence, ChannelPresenceBuilder, LiveSession, LiveSessions, PresentSession,
    SessionChange,
};

/// Answers from the sessions of this server.
pub struct MemoryPresence {
    server: Arc<str>,
    own: OnceLock<Weak<dyn LiveSessions>>,
}

impl std::fmt::Debug for MemoryPresence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryPresence").finish_non_exhaustive()
    }
}

impl MemoryPresence {
    pub fn new(server_id: &str) -> MemoryPresence {
        MemoryPresence {
            server: server_id.into(),
            own: OnceLock::new(),
        }
    }
}

#[async_trait]
impl Presence for MemoryPresence {
    fn attach(&self, own: Weak<dyn LiveSessions>) {
        let first = self.own.set(own).is_ok();
        debug_assert!(first, "attach is called once");
    }

    fn session_changed(&self, _: LiveSession<'_>, _: SessionChange<'_>) {}

    async fn run(&self, stop: CancellationToken) {
        stop.cancelled().await;
    }

    async fn in_channel(&self, channel: &ChannelName, most: usize) -> ChannelPresence {
        let mut builder = ChannelPresenceBuilder::new(most);
        if let Some(own) = self.own.get().and_then(Weak::upgrade) {
            own.for_each_in_channel(channel, &mut |session| {
                let seen = PresentSession {
                    since_ms: session.since_ms,
                    server: self.server.clone(),
                };
                builder.add(session.user, seen);
            });
        }
        builder.finish(false)
    }

    fn degraded(&self) -> Option<String> {
        None
    }
}
