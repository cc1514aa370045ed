//! A session of this process as Redis holds it, and the members of sorted sets.

use std::net::IpAddr;
use std::sync::Arc;

use lakechat_core::domain::UserName;
use lakechat_core::ports::presence::{LiveSession, PresentSession};

/// A session as Redis holds it.
#[derive(Debug)]
pub(super) struct SessionEntry {
    pub user: UserName,
    pub server: Arc<str>,
    pub address: IpAddr,
    pub since_ms: u64,
    /// The member in the sorted sets of its channels.
    pub member: Arc<str>,
}

/// The process that writes an entry: its server's id, and a random run. The run distinguishes two servers
/// that have the same id by mistake, and a server from itself before a restart.
#[derive(Debug)]
pub(super) struct Origin {
    pub server: Arc<str>,
    run: String,
}

impl Origin {
    pub fn new(server_id: &str) -> Origin {
        Origin {
            server: server_id.into(),
            run: format!("{:08x}", rand::random::<u32>()),
        }
    }

    /// The entry of a session of this process. Names and ids contain no spaces.
    pub fn entry(&self, session: &LiveSession<'_>) -> SessionEntry {
        let LiveSession {
            id, user, since_ms, ..
        } = session;
        let (server, run) = (&self.server, &self.run);
        SessionEntry {
            user: (*user).clone(),
            server: server.clone(),
            address: session.address,
            since_ms: *since_ms,
            member: format!("{user} {server} {run} {since_ms} {id}").into(),
        }
    }

    /// A parsed member, if another process wrote it. Members that can't be parsed are skipped: a later
    /// release may write other ones.
    pub fn of_another(&self, member: &str) -> Option<(UserName, PresentSession)> {
        let mut parts = member.split(' ');
        let user = UserName::parse(parts.next()?).ok()?;
        let server = parts.next()?.into();
        let run = parts.next()?;
        let since_ms = parts.next()?.parse().ok()?;
        let seen = PresentSession { since_ms, server };
        (run != self.run).then_some((user, seen))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn members_of_other_processes_are_parsed_and_malformed_ones_skipped() {
        let (a, b) = (Origin::new("a"), Origin::new("b"));
        let user = UserName::parse("ann").expect("a name");
        let session = LiveSession {
            id: Uuid::from_u128(7),
            user: &user,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            since_ms: 1_795_507_131_733,
        };
        let member = a.entry(&session).member;
        let seen = PresentSession {
            since_ms: session.since_ms,
            server: "a".into(),
        };
        assert_eq!(b.of_another(&member), Some((user, seen)));
        assert_eq!(a.of_another(&member), None);
        for nonsense in ["", "ann", "ann a", "ann a 1", "ann a 1 x", "Ü a 1 2 3"] {
            assert_eq!(b.of_another(nonsense), None, "{nonsense}");
        }
    }
}
