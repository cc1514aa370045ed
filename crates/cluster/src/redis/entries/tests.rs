use std::net::Ipv4Addr;

use super::*;
use lakechat_core::ports::presence::LiveSession;

/// What a server knows, without a server.
#[derive(Default)]
struct Known(Vec<(Uuid, Vec<ChannelName>)>);

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

impl LiveSessions for Known {
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

/// Sizes of what is to be said: began, ended, joined, left.
fn sizes(entries: &Entries) -> [usize; 4] {
    let unsaid = entries.unsaid();
    [
        unsaid.began.len(),
        unsaid.ended.len(),
        count(&unsaid.joined),
        count(&unsaid.left),
    ]
}

#[test]
fn only_the_outcome_of_what_comes_and_goes_is_said() {
    let (origin, user, id) = (Origin::new("a"), user(), Uuid::from_u128(1));
    let mut entries = Entries::default();
    entries.apply(Told::Began(id, origin.entry(&session(id, &user))));
    for _ in 0..3 {
        entries.apply(Told::Joined(id, channel("ops")));
        entries.apply(Told::Left(id, channel("ops")));
    }
    assert_eq!(sizes(&entries), [1, 0, 0, 1]);
    entries.apply(Told::Joined(id, channel("ops")));
    assert_eq!(sizes(&entries), [1, 0, 1, 0]);
    entries.said();
    entries.apply(Told::Ended(id));
    assert_eq!(sizes(&entries), [0, 1, 0, 1]);
    assert_eq!(entries.len(), 0);
}

#[test]
fn a_refresh_says_all_that_is_and_takes_back_all_that_is_not() {
    let origin = Origin::new("a");
    let [stays, moves, goes, comes] = [1, 2, 3, 4].map(Uuid::from_u128);
    let (ops, dev) = (channel("ops"), channel("dev"));
    let mut entries = Entries::default();
    let before = Known(vec![
        (stays, vec![ops.clone()]),
        (moves, vec![ops.clone()]),
        (goes, vec![ops.clone(), dev.clone()]),
    ]);
    entries.refresh(&before, &origin);
    assert_eq!(sizes(&entries), [3, 0, 4, 0]);
    entries.said();
    let after = Known(vec![
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
fn changes_of_a_session_whose_beginning_was_lost_wait_for_the_refresh() {
    let mut entries = Entries::default();
    let id = Uuid::from_u128(1);
    entries.apply(Told::Joined(id, channel("ops")));
    entries.apply(Told::Left(id, channel("ops")));
    entries.apply(Told::Ended(id));
    assert_eq!(sizes(&entries), [0; 4]);
}
