use std::net::Ipv4Addr;

use super::*;
use lakechat_core::domain::UserName;
use lakechat_core::ports::presence::LiveSession;

/// The sessions of a server.
#[derive(Default)]
struct OwnSessions(Vec<(Uuid, Vec<ChannelName>)>);

fn user() -> UserName {
    UserName::parse("ann").expect("a name")
}

fn session(id: Uuid, user: &UserName) -> LiveSession<'_> {
    LiveSession {
        id,
        user,
        address: Ipv4Addr::LOCALHOST.into(),
        since_ms: 7,
    }
}

impl LiveSessions for OwnSessions {
    fn for_each(&self, visit: &mut dyn FnMut(LiveSession<'_>)) {
        let user = user();
        self.0.iter().for_each(|(id, _)| visit(session(*id, &user)));
    }

    fn for_each_joined_channel(&self, visit: &mut dyn FnMut(&ChannelName, LiveSession<'_>)) {
        let user = user();
        for (id, channels) in &self.0 {
            channels.iter().for_each(|c| visit(c, session(*id, &user)));
        }
    }

    fn for_each_in_channel(&self, _: &ChannelName, _: &mut dyn FnMut(LiveSession<'_>)) {}
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a name")
}

fn count(places: &HashMap<ChannelName, HashSet<Arc<str>>>) -> usize {
    places.values().map(HashSet::len).sum()
}

/// Sizes of the pending writes: began, ended, joined, left.
fn sizes(entries: &SessionEntries) -> [usize; 4] {
    let pending = entries.pending();
    [
        pending.began.len(),
        pending.ended.len(),
        count(&pending.joined),
        count(&pending.left),
    ]
}

#[test]
fn only_the_outcome_of_several_changes_is_written() {
    let (origin, user, id) = (Origin::new("a"), user(), Uuid::from_u128(1));
    let mut entries = SessionEntries::default();
    entries.apply(PendingChange::Began(id, origin.entry(&session(id, &user))));
    for _ in 0..3 {
        entries.apply(PendingChange::Joined(id, channel("ops")));
        entries.apply(PendingChange::Left(id, channel("ops")));
    }
    assert_eq!(sizes(&entries), [1, 0, 0, 1]);
    entries.apply(PendingChange::Joined(id, channel("ops")));
    assert_eq!(sizes(&entries), [1, 0, 1, 0]);
    entries.mark_written();
    entries.apply(PendingChange::Ended(id));
    assert_eq!(sizes(&entries), [0, 1, 0, 1]);
    assert_eq!(entries.len(), 0);
}

#[test]
fn refresh_writes_all_live_sessions_and_removes_the_others() {
    let origin = Origin::new("a");
    let [stays, moves, goes, comes] = [1, 2, 3, 4].map(Uuid::from_u128);
    let (ops, dev) = (channel("ops"), channel("dev"));
    let mut entries = SessionEntries::default();
    let before = OwnSessions(vec![
        (stays, vec![ops.clone()]),
        (moves, vec![ops.clone()]),
        (goes, vec![ops.clone(), dev.clone()]),
    ]);
    entries.refresh(&before, &origin);
    assert_eq!(sizes(&entries), [3, 0, 4, 0]);
    entries.mark_written();
    let after = OwnSessions(vec![
        (stays, vec![ops.clone()]),
        (moves, vec![dev.clone()]),
        (comes, vec![dev.clone()]),
    ]);
    entries.refresh(&after, &origin);
    assert_eq!(sizes(&entries), [3, 1, 3, 3]);
    entries.clear();
    assert_eq!(sizes(&entries)[0], 0);
    assert_eq!(entries.len(), 0);
}

#[test]
fn changes_of_an_unknown_session_wait_for_the_refresh() {
    let mut entries = SessionEntries::default();
    let id = Uuid::from_u128(1);
    entries.apply(PendingChange::Joined(id, channel("ops")));
    entries.apply(PendingChange::Left(id, channel("ops")));
    entries.apply(PendingChange::Ended(id));
    assert_eq!(sizes(&entries), [0; 4]);
}
