//! Presence: who is present, as seen by one server and by several.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use lakechat_core::domain::{ChannelName, UserName};
use lakechat_core::ports::Presence;
use lakechat_core::ports::presence::{ChannelPresence, LiveSession, LiveSessions, SessionChange};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{channel, eventually, random, user, user_named};

/// Tests of every rule that holds for a single server too.
#[macro_export]
macro_rules! presence_contract {
    ($fresh:path) => {
        $crate::rules! { $fresh,
            presence:
                a_user_who_joined_is_present_at_once
                a_user_who_left_is_absent
                a_user_whose_session_ended_is_absent_everywhere
                channels_are_separate
                a_user_with_two_sessions_stays_until_both_are_gone
                the_first_users_by_name_are_listed_when_there_are_more
                a_stopped_server_returns_from_run;
        }
    };
}

/// Tests of every rule about several servers on one store.
#[macro_export]
macro_rules! presence_between_servers_contract {
    ($fresh:path) => {
        $crate::rules! { $fresh,
            presence:
                servers_see_each_others_people
                leaving_and_ending_is_seen_by_others
                a_user_on_two_servers_has_sessions_on_both
                servers_with_the_same_name_see_each_other
                a_live_server_is_seen_beyond_the_deadline
                a_dead_server_is_gone_by_the_deadline
                a_stopped_server_is_gone_at_once
                a_refresh_repairs_changes_that_were_not_announced
                thousands_join_at_once;
        }
    };
}

/// How long others see a server after it died. Short, so that tests can wait for it.
pub const PRESENCE_DEADLINE: Duration = Duration::from_secs(3);

/// A store that several servers can share.
pub trait PresenceStore: Send + Sync + Sized + 'static {
    fn presence(&self, server: &str) -> Result<Arc<dyn Presence>>;
}

/// A server, reduced to its presence and its sessions.
pub struct Server {
    pub presence: Arc<dyn Presence>,
    pub people: Arc<People>,
    running: JoinHandle<()>,
    stop: CancellationToken,
}

/// The sessions of a server.
#[derive(Default)]
pub struct People(Mutex<BTreeMap<Uuid, One>>);

#[derive(Clone)]
struct One {
    user: UserName,
    since_ms: u64,
    channels: Vec<ChannelName>,
}

pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

impl One {
    fn as_live(&self, id: Uuid) -> LiveSession<'_> {
        LiveSession {
            id,
            user: &self.user,
            address: ADDRESS,
            since_ms: self.since_ms,
        }
    }
}

impl People {
    fn all(&self) -> BTreeMap<Uuid, One> {
        self.0.lock().expect("no panic while held").clone()
    }

    /// Without announcing it.
    pub fn change(&self, id: Uuid, change: impl FnOnce(&mut Vec<ChannelName>)) {
        let mut people = self.0.lock().expect("no panic while held");
        change(&mut people.get_mut(&id).expect("a session").channels);
    }

    /// Without announcing it.
    pub fn forget(&self, id: Uuid) {
        self.0.lock().expect("no panic while held").remove(&id);
    }
}

impl LiveSessions for People {
    fn for_each(&self, visit: &mut dyn FnMut(LiveSession<'_>)) {
        self.all()
            .iter()
            .for_each(|(id, one)| visit(one.as_live(*id)));
    }

    fn for_each_joined_channel(&self, visit: &mut dyn FnMut(&ChannelName, LiveSession<'_>)) {
        for (id, one) in &self.all() {
            one.channels.iter().for_each(|c| visit(c, one.as_live(*id)));
        }
    }

    fn for_each_in_channel(&self, channel: &ChannelName, visit: &mut dyn FnMut(LiveSession<'_>)) {
        self.for_each_joined_channel(&mut |c, session| {
            if c == channel {
                visit(session);
            }
        });
    }
}

impl Server {
    /// Runs on the runtime of the test.
    pub fn start(store: &impl PresenceStore, id: &str) -> Result<Server> {
        Ok(Server::over(store.presence(id)?))
    }

    /// The same over a presence that the caller has set up.
    pub fn over(presence: Arc<dyn Presence>) -> Server {
        let people = Arc::new(People::default());
        let own: Arc<dyn LiveSessions> = people.clone();
        presence.attach(Arc::downgrade(&own));
        let stop = CancellationToken::new();
        let (runs, until) = (presence.clone(), stop.clone());
        let running = tokio::spawn(async move { runs.run(until).await });
        Server {
            presence,
            people,
            running,
            stop,
        }
    }

    pub fn begin(&self, user: &UserName, since_ms: u64) -> Uuid {
        let id = Uuid::new_v4();
        let one = One {
            user: user.clone(),
            since_ms,
            channels: Vec::new(),
        };
        let mut people = self.people.0.lock().expect("no panic while held");
        people.insert(id, one.clone());
        self.presence
            .session_changed(one.as_live(id), SessionChange::Began);
        id
    }

    /// A session that joins a channel at once.
    pub fn enter(&self, user: &UserName, channel: &ChannelName) -> Uuid {
        let id = self.begin(user, 1_795_507_131_733);
        self.join(id, channel);
        id
    }

    pub fn join(&self, id: Uuid, channel: &ChannelName) {
        self.people.change(id, |all| all.push(channel.clone()));
        self.announce(id, SessionChange::Joined(channel));
    }

    pub fn leave(&self, id: Uuid, channel: &ChannelName) {
        self.people.change(id, |all| all.retain(|c| c != channel));
        self.announce(id, SessionChange::Left(channel));
    }

    pub fn end(&self, id: Uuid) {
        let one = self.people.all().remove(&id).expect("a session");
        for channel in &one.channels {
            self.leave(id, channel);
        }
        self.people.forget(id);
        self.presence
            .session_changed(one.as_live(id), SessionChange::Ended);
    }

    fn announce(&self, id: Uuid, change: SessionChange<'_>) {
        let one = self.people.all().remove(&id).expect("a session");
        self.presence.session_changed(one.as_live(id), change);
    }

    pub async fn see(&self, channel: &ChannelName) -> ChannelPresence {
        self.presence.in_channel(channel, 1000).await
    }

    pub async fn sees(&self, channel: &ChannelName, people: &[&UserName]) -> bool {
        let found = self.see(channel).await;
        let mut wanted = people.to_vec();
        wanted.sort();
        !found.degraded && found.people.iter().map(|p| &p.user).eq(wanted)
    }

    pub async fn comes_to_see(&self, channel: &ChannelName, people: &[&UserName]) -> Result<()> {
        let what = format!("{people:?} in {channel}");
        eventually(&what, async || Ok(self.sees(channel, people).await)).await
    }

    /// Waits until the store responds and has received every change.
    pub async fn up(self) -> Result<Server> {
        let up = async || Ok(self.presence.degraded().is_none());
        eventually("presence is up", up).await?;
        Ok(self)
    }

    /// Stops without cleaning up, as SIGKILL does.
    pub fn kill(self) {
        self.running.abort();
    }

    /// Stops in order, as SIGTERM does.
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        let stopped = tokio::time::timeout(super::DEADLINE, self.running).await;
        Ok(stopped.context("run() did not return")??)
    }
}

async fn start(store: &impl PresenceStore, id: &str) -> Result<Server> {
    Server::start(store, id)?.up().await
}

pub async fn a_user_who_joined_is_present_at_once<S: PresenceStore>(store: S) -> Result<()> {
    let (a, ann, ops) = (start(&store, "a").await?, user(), channel());
    assert!(a.sees(&ops, &[]).await);
    let id = a.begin(&ann, 1_795_507_131_733);
    assert!(
        a.sees(&ops, &[]).await,
        "a session that joined no channel is in none"
    );
    a.join(id, &ops);
    let found = a.see(&ops).await;
    assert_eq!(found.people.len(), 1);
    assert_eq!(found.people[0].user, ann);
    let session = &found.people[0].sessions[0];
    assert_eq!(
        (session.since_ms, &*session.server),
        (1_795_507_131_733, "a")
    );
    Ok(())
}

pub async fn a_user_who_left_is_absent<S: PresenceStore>(store: S) -> Result<()> {
    let (a, [ann, bob], ops) = (start(&store, "a").await?, [user(), user()], channel());
    let id = a.enter(&ann, &ops);
    a.enter(&bob, &ops);
    a.leave(id, &ops);
    a.comes_to_see(&ops, &[&bob]).await?;
    a.join(id, &ops);
    a.comes_to_see(&ops, &[&ann, &bob]).await
}

pub async fn a_user_whose_session_ended_is_absent_everywhere<S: PresenceStore>(
    store: S,
) -> Result<()> {
    let (a, ann, [ops, dev]) = (start(&store, "a").await?, user(), [channel(), channel()]);
    let id = a.enter(&ann, &ops);
    a.join(id, &dev);
    a.end(id);
    a.comes_to_see(&ops, &[]).await?;
    a.comes_to_see(&dev, &[]).await
}

pub async fn channels_are_separate<S: PresenceStore>(store: S) -> Result<()> {
    let a = start(&store, "a").await?;
    let name = format!("c{}", random());
    // One name is a prefix of the other.
    let [ops, dev] = [&name, &format!("{name}-2")].map(|n| super::channel_named(n));
    let [ann, bob] = [user(), user()];
    a.enter(&ann, &ops);
    a.enter(&bob, &dev);
    a.comes_to_see(&ops, &[&ann]).await?;
    a.comes_to_see(&dev, &[&bob]).await
}

pub async fn a_user_with_two_sessions_stays_until_both_are_gone<S: PresenceStore>(
    store: S,
) -> Result<()> {
    let (a, ann, ops) = (start(&store, "a").await?, user(), channel());
    let first = a.enter(&ann, &ops);
    let second = a.enter(&ann, &ops);
    assert_eq!(a.see(&ops).await.people[0].sessions.len(), 2);
    a.end(first);
    assert!(a.sees(&ops, &[&ann]).await);
    assert_eq!(a.see(&ops).await.people[0].sessions.len(), 1);
    a.leave(second, &ops);
    a.comes_to_see(&ops, &[]).await
}

pub async fn the_first_users_by_name_are_listed_when_there_are_more<S: PresenceStore>(
    store: S,
) -> Result<()> {
    let (a, ops) = (start(&store, "a").await?, channel());
    for n in [3, 1, 4, 0, 2] {
        a.enter(&user_named(&format!("u{n}")), &ops);
    }
    let found = a.presence.in_channel(&ops, 3).await;
    let names: Vec<_> = found.people.iter().map(|p| p.user.as_str()).collect();
    assert_eq!(names, ["u0", "u1", "u2"]);
    Ok(())
}

pub async fn a_stopped_server_returns_from_run<S: PresenceStore>(store: S) -> Result<()> {
    let a = start(&store, "a").await?;
    a.enter(&user(), &channel());
    a.stop().await
}

pub async fn servers_see_each_others_people<S: PresenceStore>(store: S) -> Result<()> {
    let (a, b) = (start(&store, "a").await?, start(&store, "b").await?);
    let ([ann, bob], ops) = ([user(), user()], channel());
    a.enter(&ann, &ops);
    b.enter(&bob, &ops);
    a.comes_to_see(&ops, &[&ann, &bob]).await?;
    b.comes_to_see(&ops, &[&ann, &bob]).await?;
    let seen = b.see(&ops).await.people;
    let of = |user: &UserName| seen.iter().find(|p| p.user == *user).expect("seen");
    let session = &of(&ann).sessions[0];
    assert_eq!(
        (session.since_ms, &*session.server),
        (1_795_507_131_733, "a")
    );
    assert_eq!(&*of(&bob).sessions[0].server, "b");
    // A server that starts later sees those who were present before.
    assert!(start(&store, "c").await?.sees(&ops, &[&ann, &bob]).await);
    Ok(())
}

pub async fn leaving_and_ending_is_seen_by_others<S: PresenceStore>(store: S) -> Result<()> {
    let (a, b) = (start(&store, "a").await?, start(&store, "b").await?);
    let ([ann, bob], ops) = ([user(), user()], channel());
    let (first, second) = (a.enter(&ann, &ops), a.enter(&bob, &ops));
    b.comes_to_see(&ops, &[&ann, &bob]).await?;
    a.leave(first, &ops);
    b.comes_to_see(&ops, &[&bob]).await?;
    a.end(second);
    b.comes_to_see(&ops, &[]).await
}

pub async fn a_user_on_two_servers_has_sessions_on_both<S: PresenceStore>(store: S) -> Result<()> {
    let (a, b) = (start(&store, "a").await?, start(&store, "b").await?);
    let (ann, ops) = (user(), channel());
    let (on_a, on_b) = (a.enter(&ann, &ops), b.enter(&ann, &ops));
    let both = async || {
        let people = a.see(&ops).await.people;
        Ok(people.len() == 1 && people[0].sessions.len() == 2)
    };
    eventually("both sessions", both).await?;
    a.end(on_a);
    b.comes_to_see(&ops, &[&ann]).await?;
    a.comes_to_see(&ops, &[&ann]).await?;
    b.end(on_b);
    a.comes_to_see(&ops, &[]).await
}

pub async fn servers_with_the_same_name_see_each_other<S: PresenceStore>(store: S) -> Result<()> {
    let (a, b) = (start(&store, "host").await?, start(&store, "host").await?);
    let (ann, ops) = (user(), channel());
    a.enter(&ann, &ops);
    b.comes_to_see(&ops, &[&ann]).await
}

pub async fn a_live_server_is_seen_beyond_the_deadline<S: PresenceStore>(store: S) -> Result<()> {
    let (a, b) = (start(&store, "a").await?, start(&store, "b").await?);
    let (ann, ops) = (user(), channel());
    a.enter(&ann, &ops);
    b.comes_to_see(&ops, &[&ann]).await?;
    let began = std::time::Instant::now();
    eventually("two deadlines pass", async || {
        assert!(b.sees(&ops, &[&ann]).await, "after {:?}", began.elapsed());
        Ok(began.elapsed() > 2 * PRESENCE_DEADLINE)
    })
    .await
}

pub async fn a_dead_server_is_gone_by_the_deadline<S: PresenceStore>(store: S) -> Result<()> {
    let (a, b) = (start(&store, "a").await?, start(&store, "b").await?);
    let ([ann, bob], ops) = ([user(), user()], channel());
    a.enter(&ann, &ops);
    b.enter(&bob, &ops);
    b.comes_to_see(&ops, &[&ann, &bob]).await?;
    a.kill();
    let killed = std::time::Instant::now();
    b.comes_to_see(&ops, &[&bob]).await?;
    let took = killed.elapsed();
    let allowed = PRESENCE_DEADLINE + Duration::from_secs(1);
    assert!(took < allowed, "gone after {took:?}");
    Ok(())
}

pub async fn a_stopped_server_is_gone_at_once<S: PresenceStore>(store: S) -> Result<()> {
    let (a, b) = (start(&store, "a").await?, start(&store, "b").await?);
    let (ann, ops) = (user(), channel());
    a.enter(&ann, &ops);
    b.comes_to_see(&ops, &[&ann]).await?;
    a.stop().await?;
    assert!(b.sees(&ops, &[]).await);
    Ok(())
}

pub async fn a_refresh_repairs_changes_that_were_not_announced<S: PresenceStore>(
    store: S,
) -> Result<()> {
    let (a, b) = (start(&store, "a").await?, start(&store, "b").await?);
    let ([ann, bob, eve], ops) = ([user(), user(), user()], channel());
    let (leaves, ends) = (a.enter(&ann, &ops), a.enter(&bob, &ops));
    let comes = a.begin(&eve, 1);
    b.comes_to_see(&ops, &[&ann, &bob]).await?;
    a.people.change(leaves, Vec::clear);
    a.people.change(comes, |all| all.push(ops.clone()));
    a.people.forget(ends);
    b.comes_to_see(&ops, &[&eve]).await
}

pub async fn thousands_join_at_once<S: PresenceStore>(store: S) -> Result<()> {
    let (a, b) = (start(&store, "a").await?, start(&store, "b").await?);
    let (ops, name) = (channel(), random());
    let ids: Vec<_> = (0..2_000)
        .map(|n| a.enter(&user_named(&format!("{name}-{n}")), &ops))
        .collect();
    let count = async |wanted| {
        let seen = async || Ok(b.presence.in_channel(&ops, 5_000).await.people.len() == wanted);
        eventually("all of them", seen).await
    };
    count(2_000).await?;
    ids.into_iter().for_each(|id| a.end(id));
    count(0).await
}
