//! Who is there: the live sessions of all servers, each for as long as its server speaks for it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{ChannelName, UserName};

/// Sessions of one person that an answer lists, at most.
const SESSIONS_SHOWN: usize = 100;

/// A session of this server.
#[derive(Clone, Copy, Debug)]
pub struct LiveSession<'a> {
    pub id: Uuid,
    pub user: &'a UserName,
    /// Of the client.
    pub address: IpAddr,
    /// When it began, ms since 1970.
    pub since_ms: u64,
}

/// What happened to a session.
#[derive(Clone, Copy, Debug)]
pub enum SessionChange<'a> {
    Began,
    /// It is in no channel any more, either.
    Ended,
    Joined(&'a ChannelName),
    Left(&'a ChannelName),
}

/// What a server knows of its own sessions: the truth about them.
///
/// `visit` is called while nothing is locked, with what was so at some moment of the call.
pub trait LiveSessions: Send + Sync {
    fn for_each(&self, visit: &mut dyn FnMut(LiveSession<'_>));

    /// Each session once for each channel that it has joined.
    fn for_each_joined_channel(&self, visit: &mut dyn FnMut(&ChannelName, LiveSession<'_>));

    /// The sessions that have joined a channel.
    fn for_each_in_channel(&self, channel: &ChannelName, visit: &mut dyn FnMut(LiveSession<'_>));
}

/// Who has joined a channel, over all servers. A person is present in the channels that one of their
/// sessions has joined, until the last such session has left or ended.
///
/// *Own sessions* are as [`LiveSessions`] has them at the moment of the question. *Those of other
/// servers* are as those have last said: what changed there is seen here some milliseconds later, a
/// change that was lost on the way after the next refresh, and a server that died is gone by the
/// deadline. Nothing is stored for longer than the deadline.
///
/// *Being away.* When the common store is away nobody waits for it and nothing is lost but the sight
/// of other servers: [`Presence::degraded`] says so, answers too, and they hold this server's own
/// people. It recovers by itself, and everything is said again then.
#[async_trait]
pub trait Presence: fmt::Debug + Send + Sync {
    /// Who knows this server's sessions; set once, before anything else.
    fn attach(&self, own: Weak<dyn LiveSessions>);

    /// Says what happened to a session of this server, after it happened in [`LiveSessions`].
    ///
    /// Never blocks and never fails, and may be called under a lock. The queue is bounded: what it
    /// can't take is made up for by the next refresh.
    fn session_changed(&self, session: LiveSession<'_>, change: SessionChange<'_>);

    /// Keeps what is said of this server's sessions alive, until `stop`; then takes all of it back,
    /// within some seconds, and returns. To be run once. Dropping it is as if the server died.
    async fn run(&self, stop: CancellationToken);

    /// Who has joined a channel: the first `most` people by name. Answers within half a second,
    /// whatever is away. Dropping is safe.
    async fn in_channel(&self, channel: &ChannelName, most: usize) -> ChannelPresence;

    /// Why other servers' people are not seen, if they are not.
    fn degraded(&self) -> Option<String>;
}

/// Who has joined a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelPresence {
    /// Other servers' people may be missing.
    pub degraded: bool,
    /// By name.
    pub people: Vec<PresentUser>,
}

/// A person who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentUser {
    pub user: UserName,
    /// Those that have joined the channel, oldest first; at most 100 are listed.
    pub sessions: Vec<PresentSession>,
}

/// A session as anybody may see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PresentSession {
    /// When it began, ms since 1970.
    pub since_ms: u64,
    /// The id of its server.
    pub server: Arc<str>,
}

/// Sorts sessions by person, and keeps the first people by name. For adapters.
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
