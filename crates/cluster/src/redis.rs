//! The presence of all servers, in Redis.
//!
//! Each server writes its own live sessions again and again, with a deadline by Redis' clock. All keys
//! begin with the prefix, and all but `installation` have a TTL:
//!
//! | key | holds |
//! |---|---|
//! | `installation` | the installation that the keys belong to |
//! | `session:<uuid>` | hash: `user`, `server`, `address`, `since` |
//! | `user:<name>` | sorted set of the user's sessions, scored with their deadlines |
//! | `address:<network>` | sorted set of the sessions from an address, or from the first 64 bits of an IPv6 address, scored likewise |
//! | `channel:<name>` | sorted set of the joined sessions, a member each: `<user> <server> <run> <since> <session>`, scored with its deadline |
//!
//! Deadlines are ms since 1970. A member whose deadline has passed does not count, even if it is still
//! there. `run` is a random number of the server's process.
//!
//! Ended logins are told by Pub/Sub, on the channel `revocations:<installation>` ([`revocations`]).
//!
//! Only [`writer`] writes. [`entries`] holds what it should have written; each refresh compares that with the
//! server's own sessions.

mod entries;
mod keys;
mod link;
mod origin;
mod owner_key;
mod revocations;
mod scripts;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use self::entries::PendingChange;
use self::keys::Keys;
use self::link::Link;
use self::origin::Origin;
pub use self::owner_key::OwnerKey;
pub use self::revocations::RedisRevocations;
use self::writer::Writer;
use crate::owner::Installation;
use lakechat_core::domain::ChannelName;
use lakechat_core::ports::presence::{
    ChannelPresence, ChannelPresenceBuilder, ConnectionLimit, ConnectionLimits, LiveSession,
    LiveSessions, PresentSession, SessionChange,
};
use lakechat_core::ports::{PortError, Presence};

/// Changes that wait to be written.
const MAX_PENDING_CHANGES: usize = 16_384;

/// The most sessions of other servers that are read for one answer.
const MAX_MEMBERS: usize = 20_000;

/// The Redis and the prefix that the servers of a cluster share.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port[/database]`, or `rediss://`.
    pub url: String,
    pub prefix: String,
    /// Shown in answers about presence.
    pub server_id: String,
    /// How long an entry counts after it was written. Entries are written three times as often.
    pub deadline: Duration,
}

/// The presence of all servers that share a Redis and a prefix.
pub struct RedisPresence {
    link: Arc<Link>,
    keys: Arc<Keys>,
    origin: Origin,
    own: OnceLock<Weak<dyn LiveSessions>>,
    changes: mpsc::Sender<PendingChange>,
    /// `None` once `run` has taken it.
    writer: Mutex<Option<Writer>>,
}

impl fmt::Debug for RedisPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisPresence");
        shown.field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl RedisPresence {
    /// Does not connect: `run` does, and retries until Redis responds. It writes only under a prefix that
    /// belongs to `ours`.
    pub fn new(settings: &RedisSettings, ours: Installation) -> Result<RedisPresence, PortError> {
        let link = Arc::new(Link::new(&settings.url)?);
        let keys = Arc::new(Keys::new(&settings.prefix));
        // Full: the change is dropped, and the next refresh makes up for it.
        let (changes, received) = mpsc::channel(MAX_PENDING_CHANGES);
        let writer = Writer::new(
            link.clone(),
            keys.clone(),
            received,
            settings.deadline,
            ours,
        );
        Ok(RedisPresence {
            link,
            keys,
            origin: Origin::new(&settings.server_id),
            own: OnceLock::new(),
            changes,
            writer: Mutex::new(Some(writer)),
        })
    }

    fn own(&self) -> Option<Arc<dyn LiveSessions>> {
        self.own.get().and_then(Weak::upgrade)
    }

    fn add_own(&self, channel: &ChannelName, builder: &mut ChannelPresenceBuilder) {
        let Some(own) = self.own() else { return };
        own.for_each_in_channel(channel, &mut |session| {
            let seen = PresentSession {
                since_ms: session.since_ms,
                server: self.origin.server.clone(),
            };
            builder.add(session.user, seen);
        });
    }

    /// Adds the sessions of other servers; `false` if Redis could not be read.
    async fn add_others(
        &self,
        channel: &ChannelName,
        builder: &mut ChannelPresenceBuilder,
    ) -> bool {
        let key = self.keys.channel(channel);
        let Ok(members) = self.link.live_members(&key, MAX_MEMBERS).await else {
            return false;
        };
        for member in &members {
            // This server's own sessions were added from memory, which is more recent.
            if let Some((user, seen)) = self.origin.of_another(member) {
                builder.add(&user, seen);
            }
        }
        true
    }
}

#[async_trait]
impl Presence for RedisPresence {
    fn attach(&self, own: Weak<dyn LiveSessions>) {
        let first = self.own.set(own).is_ok();
        debug_assert!(first, "attach is called once");
    }

    fn session_changed(&self, session: LiveSession<'_>, change: SessionChange<'_>) {
        let change = match change {
            SessionChange::Began => PendingChange::Began(session.id, self.origin.entry(&session)),
            SessionChange::Ended => PendingChange::Ended(session.id),
            SessionChange::Joined(channel) => PendingChange::Joined(session.id, channel.clone()),
            SessionChange::Left(channel) => PendingChange::Left(session.id, channel.clone()),
        };
        if self.changes.try_send(change).is_err() {
            metrics::counter!("lakechat_presence_changes_dropped_total").increment(1);
        }
    }

    async fn admit(
        &self,
        session: LiveSession<'_>,
        limits: ConnectionLimits,
    ) -> Result<(), ConnectionLimit> {
        let user = self.keys.user(session.user);
        let network = self.keys.network(session.address);
        let reserved = self.link.reserve(&user, &network, session.id, limits);
        match reserved.await {
            // Without Redis, each server has limits of its own.
            Ok(None) | Err(_) => Ok(()),
            Ok(Some(limit)) => Err(limit),
        }
    }

    async fn run(&self, stop: CancellationToken) {
        let writer = self.writer.lock().expect("no panic while held").take();
        let (Some(writer), Some(own)) = (writer, self.own()) else {
            debug_assert!(false, "run comes once, and after attach");
            return;
        };
        let span = info_span!("redis_writer", server = &*self.origin.server);
        let written = writer.run(&*own, &self.origin, stop);
        written.instrument(span).await;
    }

    async fn in_channel(&self, channel: &ChannelName, most: usize) -> ChannelPresence {
        let mut builder = ChannelPresenceBuilder::new(most);
        self.add_own(channel, &mut builder);
        let known = self.add_others(channel, &mut builder).await;
        builder.finish(!known)
    }

    fn degraded(&self) -> Option<String> {
        self.link.failure()
    }
}
