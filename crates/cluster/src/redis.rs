//! Presence over servers, in Redis.
//!
//! Each server says of its own sessions that they live, again and again, and Redis' clock says until
//! when that holds. All keys begin with the prefix and have a TTL:
//!
//! | key | holds |
//! |---|---|
//! | `session:<uuid>` | hash: `user`, `server`, `address`, `since` |
//! | `user:<name>` | sorted set of the user's sessions, scored with their deadlines |
//! | `channel:<name>` | sorted set of those who have joined, one member a session: `<user> <server> <run> <since> <session>`, scored with its deadline |
//!
//! Deadlines are ms since 1970; a member whose deadline has passed counts for nothing, whether it
//! is still there or not. `run` is a random number of the server's process.
//!
//! [`writer`] is the only one who writes. What it should have said stands in [`entries`], which the
//! server's own sessions correct at each refresh.

mod entries;
mod keys;
mod link;
mod origin;
mod scripts;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::entries::Told;
use self::keys::Keys;
use self::link::Link;
use self::origin::Origin;
use self::writer::Writer;
use lakechat_core::domain::ChannelName;
use lakechat_core::ports::presence::{
    ChannelPresence, ChannelPresenceBuilder, LiveSession, LiveSessions, PresentSession,
    SessionChange,
};
use lakechat_core::ports::{PortError, Presence};

/// Changes that wait to be written.
const QUEUE: usize = 16_384;

/// Sessions of other servers that one answer looks at.
const PLACES: usize = 20_000;

/// How the servers of one cluster find each other.
#[derive(Clone)]
pub struct Settings {
    /// `redis://[user:password@]host:port[/database]`, or `rediss://`.
    pub url: String,
    pub prefix: String,
    /// Shown in answers.
    pub server_id: String,
    /// How long what a server has said holds. It says it again three times as often.
    pub deadline: Duration,
}

/// Presence of all servers on one Redis and one prefix.
pub struct RedisPresence {
    link: Arc<Link>,
    keys: Arc<Keys>,
    origin: Origin,
    own: OnceLock<Weak<dyn LiveSessions>>,
    told: mpsc::Sender<Told>,
    /// Until `run` takes it.
    writer: Mutex<Option<Writer>>,
}

impl fmt::Debug for RedisPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisPresence");
        shown.field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl RedisPresence {
    /// Connects only when it is run; a Redis that is away then is no error.
    pub fn new(settings: &Settings) -> Result<RedisPresence, PortError> {
        let link = Arc::new(Link::new(&settings.url)?);
        let keys = Arc::new(Keys::new(&settings.prefix));
        // Full: the change is dropped, and the next refresh makes up for it.
        let (told, heard) = mpsc::channel(QUEUE);
        let writer = Writer::new(link.clone(), keys.clone(), heard, settings.deadline);
        Ok(RedisPresence {
            link,
            keys,
            origin: Origin::new(&settings.server_id),
            own: OnceLock::new(),
            told,
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

    /// Adds what other servers have said; tells whether that is known.
    async fn add_others(
        &self,
        channel: &ChannelName,
        builder: &mut ChannelPresenceBuilder,
    ) -> bool {
        let key = self.keys.channel(channel);
        let Ok(members) = self.link.alive(&key, PLACES).await else {
            return false;
        };
        for member in &members {
            // What this server has said itself is older than what it knows.
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
        let told = match change {
            SessionChange::Began => Told::Began(session.id, self.origin.entry(&session)),
            SessionChange::Ended => Told::Ended(session.id),
            SessionChange::Joined(channel) => Told::Joined(session.id, channel.clone()),
            SessionChange::Left(channel) => Told::Left(session.id, channel.clone()),
        };
        if self.told.try_send(told).is_err() {
            metrics::counter!("lakechat_presence_changes_dropped_total").increment(1);
        }
    }

    async fn run(&self, stop: CancellationToken) {
        let writer = self.writer.lock().expect("no panic while held").take();
        let (Some(writer), Some(own)) = (writer, self.own()) else {
            debug_assert!(false, "run comes once, and after attach");
            return;
        };
        writer.run(&*own, &self.origin, stop).await;
    }

    async fn in_channel(&self, channel: &ChannelName, most: usize) -> ChannelPresence {
        let mut builder = ChannelPresenceBuilder::new(most);
        self.add_own(channel, &mut builder);
        let known = self.add_others(channel, &mut builder).await;
        builder.finish(!known)
    }

    fn degraded(&self) -> Option<String> {
        self.link.trouble()
    }
}
