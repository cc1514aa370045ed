//! Presence: the users who have an open session in a channel, on any server.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{ChannelName, UserName};

/// The most sessions that are listed for one user.
const SESSIONS_SHOWN: usize = 100;

/// An open session of this server.
#[derive(Clone, Copy, Debug)]
pub struct LiveSession<'a> {
    pub id: Uuid,
    pub user: &'a UserName,
    /// The client's address.
    pub address: IpAddr,
    /// When the session began, in ms since 1970.
    pub since_ms: u64,
}

/// How many sessions there may be at a time, on all servers together; 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub per_user: usize,
    /// Of the addresses of a [`network`](crate::limits::network).
    pub per_network: usize,
}

/// The limit that a session would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLimit {
    OfUser,
    OfNetwork,
}

/// What happened to a session.
#[derive(Clone, Copy, Debug)]
pub enum SessionChange<'a> {
    Began,
    /// The session has also left all channels.
    Ended,
    Joined(&'a ChannelName),
    Left(&'a ChannelName),
}

/// The open sessions of this server. The hub implements it and is authoritative for them.
///
/// Each call passes the state at some moment during the call to `visit`. No lock is held while
/// `visit` runs.
pub trait LiveSessions: Send + Sync {
    fn for_each(&self, visit: &mut dyn FnMut(LiveSession<'_>));

    /// Visits each session once for each channel that it has joined.
    fn for_each_joined_channel(&self, visit: &mut dyn FnMut(&ChannelName, LiveSession<'_>));

    /// Visits the sessions that have joined a channel.
    fn for_each_in_channel(&self, channel: &ChannelName, visit: &mut dyn FnMut(LiveSession<'_>));
}

/// Which users have an open session in a channel, over all servers. A user is present in a channel
/// while at least one of the user's sessions has joined it.
///
/// *Own sessions* are read from [`LiveSessions`] for each answer, so they are always up to date.
///
/// *Sessions of other servers* are read from a common store. Each server writes its sessions there
/// with a deadline, and renews them before it passes. A change on another server is visible here
/// some milliseconds later, or after that server's next refresh if the change was lost. The
/// sessions of a server that died disappear by the deadline. Nothing stays in the store for longer.
///
/// *Failures.* If the common store is unavailable, no call waits for it. Answers then contain only
/// this server's own sessions and are marked as degraded; [`Presence::degraded`] has the reason.
/// The adapter reconnects by itself and then writes all sessions again.
///
/// An adapter for a single server needs no common store.
#[async_trait]
pub trait Presence: fmt::Debug + Send + Sync {
    /// Sets the source of this server's own sessions. Called once, before any other method.
    fn attach(&self, own: Weak<dyn LiveSessions>);

    /// Announces a change of a session of this server. Called after the change is visible in
    /// [`LiveSessions`], and in the order in which changes of a session happen.
    ///
    /// Never blocks and never fails; it may be called under a lock. The queue is bounded. If it is
    /// full, the change is dropped, and the next refresh makes up for it.
    fn session_changed(&self, session: LiveSession<'_>, change: SessionChange<'_>);

    /// Whether a session may begin, by the sessions of its user and of its client's network on all
    /// servers. If so, it counts at once, for some seconds: until its beginning is announced.
    ///
    /// Without the common store, or if it doesn't answer within half a second, every session may
    /// begin: the servers' own limits hold. So does an adapter for a single server. Dropping the
    /// future is safe.
    async fn admit(
        &self,
        _session: LiveSession<'_>,
        _limits: ConnectionLimits,
    ) -> Result<(), ConnectionLimit> {
        Ok(())
    }

    /// Publishes and renews this server's sessions until `stop`. Then removes all of them from the
    /// common store and returns, within some seconds. Called once, after [`Presence::attach`].
    ///
    /// If the future is dropped, the sessions stay in the store until the deadline, as if the
    /// server had died.
    async fn run(&self, stop: CancellationToken);

    /// The first `most` users by name who have a session in a channel. Answers within half a second
    /// even if the common store is unavailable. Dropping the future is safe.
    async fn in_channel(&self, channel: &ChannelName, most: usize) -> ChannelPresence;

    /// Why sessions of other servers can't be seen at the moment, if so. For operators.
    fn degraded(&self) -> Option<String>;
}

/// The users who have a session in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelPresence {
    /// The common store could not be read: users of other servers may be missing.
    pub degraded: bool,
    /// Ordered by name.
    pub people: Vec<PresentUser>,
}

/// A user with at least one session in the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentUser {
    pub user: UserName,
    /// The user's sessions in the channel, the oldest first; at most 100.
    pub sessions: Vec<PresentSession>,
}

/// What other users may see of a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PresentSession {
    /// When the session began, in ms since 1970.
    pub since_ms: u64,
    /// The id of the session's server.
    pub server: Arc<str>,
}

/// Groups sessions by user and keeps the first users by name. For adapters.
#[derive(Debug)]
pub struct ChannelPresenceBuilder {
    most: usize,
    people: BTreeMap<UserName, Vec<PresentSession>>,
}

impl ChannelPresenceBuilder {
    pub fn new(most: usize) -> ChannelPresenceBuilder {
        ChannelPresenceBuilder {
            most,
            people: BTreeMap::new(),
        }
    }

    /// Adds a session of the channel. Users may be added in any order.
    pub fn add(&mut self, user: &UserName, session: PresentSession) {
        if let Some(sessions) = self.people.get_mut(user) {
            if sessions.len() < SESSIONS_SHOWN {
                sessions.push(session);
            }
            return;
        }
        if self.people.len() >= self.most {
            let last = self.people.last_key_value();
            if last.is_none_or(|(last, _)| last < user) {
                return;
            }
            // Memory is bounded by `most`, whatever the number of sessions: the last name makes
            // room.
            self.people.pop_last();
        }
        self.people.insert(user.clone(), vec![session]);
    }

    pub fn finish(self, degraded: bool) -> ChannelPresence {
        let people = self.people.into_iter().map(|(user, mut sessions)| {
            sessions.sort();
            PresentUser { user, sessions }
        });
        ChannelPresence {
            degraded,
            people: people.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_people_by_name_are_kept_whatever_the_order() {
        let session = |since_ms| PresentSession {
            since_ms,
            server: "a".into(),
        };
        let name = |n: &str| UserName::parse(n).expect("a name");
        let mut builder = ChannelPresenceBuilder::new(2);
        for (at, user) in ["d", "b", "c", "a", "b", "d"].into_iter().enumerate() {
            builder.add(&name(user), session(10 - at as u64));
        }
        let found = builder.finish(false);
        let names: Vec<_> = found.people.iter().map(|p| p.user.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(found.people[1].sessions, [session(6), session(9)]);
    }
}
