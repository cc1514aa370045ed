//! The Redis adapter keeps presence's contract, and what a Redis that fails does to it: nothing that
//! anybody waits for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use integration_tests::contract::place::installation;
use integration_tests::contract::presence::{ADDRESS, PRESENCE_DEADLINE, Server};
use integration_tests::contract::{channel, eventually, user};
use integration_tests::redis_server::{OWNER_KEY, PREFIX, RedisServer, fresh};
use lakechat_cluster::redis::{RedisPresence, RedisSettings};
use lakechat_core::domain::{ChannelName, UserName};
use rustix::process::Signal;

mod one_server {
    integration_tests::presence_contract!(integration_tests::redis_server::fresh);
}
integration_tests::place_contract!(integration_tests::redis_server::fresh);
mod servers {
    integration_tests::presence_between_servers_contract!(integration_tests::redis_server::fresh);
}

/// The longest that anybody may wait for an answer, with what a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(2);

async fn comes_up(server: &Server) -> Result<()> {
    let up = async || Ok(server.presence.degraded().is_none());
    eventually("presence is up", up).await
}

async fn goes_away(server: &Server) -> Result<String> {
    let away = async || Ok(server.presence.degraded().is_some());
    eventually("presence is degraded", away).await?;
    server.presence.degraded().context("still degraded")
}

/// A channel with somebody on each of two servers, who see each other.
struct Meeting {
    a: Server,
    b: Server,
    ops: ChannelName,
    people: [UserName; 2],
}

impl Meeting {
    async fn at(redis: &RedisServer) -> Result<Meeting> {
        let a = Server::start(redis, "a")?.up().await?;
        let b = Server::start(redis, "b")?.up().await?;
        let (people, ops) = ([user(), user()], channel());
        a.enter(&people[0], &ops);
        b.enter(&people[1], &ops);
        let meeting = Meeting { a, b, ops, people };
        meeting.is_whole().await?;
        Ok(meeting)
    }

    async fn is_whole(&self) -> Result<()> {
        let everybody: Vec<_> = self.people.iter().collect();
        self.a.comes_to_see(&self.ops, &everybody).await?;
        self.b.comes_to_see(&self.ops, &everybody).await
    }

    /// Each server tells of its own people and says that others may be missing.
    async fn is_apart(&self) -> Result<()> {
        for (server, own) in [(&self.a, &self.people[0]), (&self.b, &self.people[1])] {
            goes_away(server).await?;
            let found = server.see(&self.ops).await;
            assert!(found.degraded);
            assert!(found.people.iter().map(|p| &p.user).eq([own]));
        }
        Ok(())
    }
}

#[tokio::test]
async fn entries_are_readable_below_the_prefix_and_each_key_ends_by_itself() -> Result<()> {
    let redis = fresh().await?;
    let a = Server::start(&redis, "a")?.up().await?;
    let (ann, ops) = (user(), channel());
    let id = a.enter(&ann, &ops);
    let (session, of_user, of_address, of_channel) = (
        format!("{PREFIX}session:{id}"),
        format!("{PREFIX}user:{ann}"),
        format!("{PREFIX}address:{ADDRESS}"),
        format!("{PREFIX}channel:{ops}"),
    );
    let mut wanted = vec![
        session.clone(),
        of_user.clone(),
        of_address.clone(),
        of_channel.clone(),
    ];
    wanted.sort();
    eventually("four keys", async || Ok(redis.keys().await? == wanted)).await?;
    for field in [
        ("user", ann.to_string()),
        ("server", "a".to_owned()),
        ("address", ADDRESS.to_string()),
        ("since", "1795507131733".to_owned()),
    ] {
        let (name, value) = field;
        assert_eq!(redis.cli(&["HGET", &session, name]).await?, value);
    }
    for key in [&of_user, &of_address] {
        let ids = redis.cli(&["ZRANGE", key, "0", "-1"]).await?;
        assert_eq!(ids, id.to_string());
    }
    let member = redis.cli(&["ZRANGE", &of_channel, "0", "-1"]).await?;
    assert!(member.starts_with(&format!("{ann} a ")), "{member}");
    for key in &wanted {
        let ttl: i64 = redis.cli(&["PTTL", key]).await?.parse()?;
        assert!((1..=3_000).contains(&ttl), "{key}: {ttl} ms");
    }
    Ok(())
}

#[tokio::test]
async fn a_clean_stop_leaves_no_key() -> Result<()> {
    let redis = fresh().await?;
    let Meeting { a, b, ops, .. } = Meeting::at(&redis).await?;
    for _ in 0..50 {
        a.enter(&user(), &ops);
        b.begin(&user(), 7);
    }
    a.stop().await?;
    b.stop().await?;
    assert_eq!(redis.keys().await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_kill_leaves_no_key_after_the_deadline() -> Result<()> {
    let redis = fresh().await?;
    let Meeting { a, b, .. } = Meeting::at(&redis).await?;
    a.kill();
    b.kill();
    let killed = Instant::now();
    eventually("no key", async || Ok(redis.keys().await?.is_empty())).await?;
    let took = killed.elapsed();
    assert!(took < PRESENCE_DEADLINE + PATIENCE, "gone after {took:?}");
    Ok(())
}

#[tokio::test]
async fn redis_that_comes_later_is_found_and_told_everything() -> Result<()> {
    let mut redis = RedisServer::absent()?;
    let (a, b) = (Server::start(&redis, "a")?, Server::start(&redis, "b")?);
    let ([ann, bob], ops) = ([user(), user()], channel());
    a.enter(&ann, &ops);
    b.enter(&bob, &ops);
    let found = a.see(&ops).await;
    assert!(found.degraded);
    assert!(found.people.iter().map(|p| &p.user).eq([&ann]));
    redis.start().await?;
    a.comes_to_see(&ops, &[&ann, &bob]).await?;
    b.comes_to_see(&ops, &[&ann, &bob]).await
}

#[tokio::test]
async fn redis_that_was_killed_is_told_everything_again() -> Result<()> {
    let mut redis = fresh().await?;
    let meeting = Meeting::at(&redis).await?;
    for _ in 0..2 {
        redis.kill().await?;
        meeting.is_apart().await?;
        redis.start().await?;
        meeting.is_whole().await?;
    }
    // What happened meanwhile is known too.
    redis.kill().await?;
    goes_away(&meeting.a).await?;
    let eve = user();
    meeting.a.enter(&eve, &meeting.ops);
    redis.start().await?;
    let [ann, bob] = &meeting.people;
    meeting
        .b
        .comes_to_see(&meeting.ops, &[ann, bob, &eve])
        .await
}

#[tokio::test]
async fn redis_that_does_not_answer_delays_nobody() -> Result<()> {
    let redis = fresh().await?;
    let meeting = Meeting::at(&redis).await?;
    redis.signal(Signal::STOP)?;
    let began = Instant::now();
    let found = meeting.a.see(&meeting.ops).await;
    assert!(found.degraded);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    meeting.is_apart().await?;
    let why = goes_away(&meeting.a).await?;
    assert!(why.contains("127.0.0.1:"), "{why}");
    // More changes than the queue takes, and answers meanwhile.
    let began = Instant::now();
    let [ann, bob] = &meeting.people;
    let comes_and_goes = meeting.a.begin(&user(), 7);
    for _ in 0..20_000 {
        meeting.a.join(comes_and_goes, &meeting.ops);
        meeting.a.leave(comes_and_goes, &meeting.ops);
    }
    assert!(meeting.a.see(&meeting.ops).await.degraded);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    redis.signal(Signal::CONT)?;
    meeting.b.comes_to_see(&meeting.ops, &[ann, bob]).await?;
    meeting.a.comes_to_see(&meeting.ops, &[ann, bob]).await
}

/// The ids of the connections of lakechat's servers.
async fn connections(redis: &RedisServer) -> Result<Vec<String>> {
    let listed = redis.cli(&["CLIENT", "LIST"]).await?;
    // Not that of redis-cli, which lists them.
    let servers = listed.lines().filter(|line| !line.contains("cmd=client"));
    let ids = servers.filter_map(|line| line.split(' ').next());
    Ok(ids.map(str::to_owned).collect())
}

#[tokio::test]
async fn slow_read_fails_alone_and_keeps_the_connection() -> Result<()> {
    let redis = fresh().await?;
    let meeting = Meeting::at(&redis).await?;
    let before = connections(&redis).await?;
    assert_eq!(before.len(), 2, "{before:?}");
    redis.cli(&["CLIENT", "PAUSE", "500", "ALL"]).await?;
    assert!(meeting.a.see(&meeting.ops).await.degraded);
    assert_eq!(meeting.a.presence.degraded(), None);
    meeting.is_whole().await?;
    assert_eq!(connections(&redis).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_stop_while_redis_does_not_answer_ends_soon() -> Result<()> {
    let redis = fresh().await?;
    let Meeting { a, .. } = Meeting::at(&redis).await?;
    redis.signal(Signal::STOP)?;
    let began = Instant::now();
    a.stop().await?;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn emptied_redis_is_told_everything_again() -> Result<()> {
    let redis = fresh().await?;
    let meeting = Meeting::at(&redis).await?;
    redis.cli(&["FLUSHALL"]).await?;
    meeting.is_whole().await?;
    redis.cli(&["SCRIPT", "FLUSH"]).await?;
    redis.cli(&["FLUSHALL"]).await?;
    meeting.is_whole().await
}

#[tokio::test]
async fn changes_are_seen_long_before_a_refresh() -> Result<()> {
    let redis = fresh().await?;
    let hour = Duration::from_secs(3_600);
    let start = |id: &str| {
        let presence = RedisPresence::new(&redis.with_deadline(id, hour), redis.ours.clone())?;
        anyhow::Ok(Server::over(Arc::new(presence)))
    };
    let (a, b) = (start("a")?, start("b")?);
    comes_up(&a).await?;
    comes_up(&b).await?;
    let (ann, ops) = (user(), channel());
    let began = Instant::now();
    let id = a.enter(&ann, &ops);
    b.comes_to_see(&ops, &[&ann]).await?;
    a.leave(id, &ops);
    b.comes_to_see(&ops, &[]).await?;
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_told_without_showing_it() -> Result<()> {
    let mut redis = RedisServer::absent()?.locked();
    redis.start().await?;
    let url = redis.url().replace("redis://", "redis://:guessed@");
    let settings = RedisSettings {
        url,
        ..redis.settings("a")
    };
    let a = Server::over(Arc::new(RedisPresence::new(&settings, redis.ours.clone())?));
    let refused = async || {
        let why = a.presence.degraded().unwrap_or_default();
        assert!(!why.contains("guessed"), "{why}");
        Ok(why.contains("WRONGPASS") || why.to_lowercase().contains("authentication"))
    };
    eventually("the refusal is told", refused).await
}

#[tokio::test]
async fn servers_of_another_installation_neither_write_nor_read_under_the_prefix() -> Result<()> {
    let redis = fresh().await?;
    let a = Server::start(&redis, "a")?.up().await?;
    let (ann, ops) = (user(), channel());
    a.enter(&ann, &ops);
    let other = RedisPresence::new(&redis.settings("b"), installation())?;
    let b = Server::over(Arc::new(other));
    b.enter(&user(), &ops);
    let expected = [
        format!(
            "the prefix {PREFIX} in Redis (redis.prefix) belongs to {}",
            redis.ours
        ),
        "correct redis.prefix".to_owned(),
    ];
    let refused = async || {
        let why = b.presence.degraded().unwrap_or_default();
        Ok(expected.iter().all(|words| why.contains(words)))
    };
    eventually("the refusal is told", refused).await?;
    let at_b = b.see(&ops).await;
    assert!(at_b.degraded && at_b.people.len() == 1, "only its own");
    a.comes_to_see(&ops, &[&ann]).await?;
    b.stop().await?;
    let theirs = redis.keys().await?;
    assert_eq!(theirs.len(), 4, "{theirs:?}");
    Ok(())
}

#[tokio::test]
async fn emptied_redis_belongs_to_the_installation_again_after_a_refresh() -> Result<()> {
    let redis = fresh().await?;
    let _a = Server::start(&redis, "a")?.up().await?;
    let ours = format!("{} {}", redis.ours.id, redis.ours.meta_table);
    let is_ours = async || Ok(redis.cli(&["GET", OWNER_KEY]).await? == ours);
    eventually("the prefix is claimed", is_ours).await?;
    redis.cli(&["FLUSHALL"]).await?;
    eventually("it is claimed again", is_ours).await?;
    assert_eq!(redis.cli(&["PTTL", OWNER_KEY]).await?, "-1", "it stays");
    Ok(())
}
