//! `lakechat log adopt`: another log in Kafka stops what it concerns, until an operator says that it is
//! to be gone on with.

use std::process::Output;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration_tests::cluster::Cluster;
use integration_tests::on_kafka::{BROKERS, GOOD, admin, delete_below, make, options};
use integration_tests::people::PASSWORD;
use integration_tests::{Person, Server, Ws, contract};
use lakechat_cluster::hbase::HBase;
use lakechat_core::domain::{ChannelName, Id, Partition};
use lakechat_core::ports::history::Mark;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

const PARTITIONS: u16 = 16;

/// Says texts one by one; returns when history has them.
async fn say(ws: &mut Ws, channel: &str, texts: std::ops::Range<usize>) {
    for n in texts {
        let frame = json!({"type": "send", "channel": channel, "text": n.to_string(),
            "client_msg_id": format!("{channel}-{n}"), "ack": "persisted"});
        let ack = ws.ask(frame).await;
        assert_eq!(ack["level"], "persisted", "{ack}");
    }
}

fn texts(messages: &[Value]) -> Vec<usize> {
    let text = |m: &Value| {
        m["text"]
            .as_str()
            .expect("a text")
            .parse()
            .expect("a number")
    };
    messages.iter().map(text).collect()
}

fn ids(messages: &[Value]) -> Vec<Id> {
    let id = |m: &Value| m["id"].as_str().expect("an id").parse().expect("an id");
    messages.iter().map(id).collect()
}

/// Everything that was said is there once, in order, numbered without a gap, by every way of reading.
async fn has_all(
    cluster: &Cluster,
    server: &Server,
    ann: &Person,
    channel: &str,
    count: usize,
) -> Result<()> {
    let all = ann.history(server, channel).await;
    assert_eq!(texts(&all), (0..count).collect::<Vec<_>>(), "{channel}");
    let ids = ids(&all);
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let hbase = HBase::start(&cluster.tables.settings)?;
    let generation = hbase.log_row().await?.context("a row")?.generation;
    let history = hbase.history(PARTITIONS, generation);
    let name = ChannelName::parse(channel).expect("a name");
    for (n, id) in (1..).zip(&ids) {
        let above = Id::from_u64(id.as_u64() + 1).context("63 bits")?;
        assert_eq!(
            history.last_message_number(&name, above).await?,
            Some((*id, n))
        );
    }
    for from in [0, 1, count / 2, count - 1] {
        let mut ws = ann.connect(server).await;
        let cursor = all[from]["id"].as_str().expect("an id");
        let joined = ws.join(channel, Some(cursor)).await;
        assert_eq!(joined["resumed"], true);
        let missed = ws.messages(count - from - 1).await;
        assert_eq!(texts(&missed), (from + 1..count).collect::<Vec<_>>());
        assert_eq!(self::ids(&missed), ids[from + 1..]);
        ws.close().await;
    }
    Ok(())
}

async fn adopt(cluster: &Cluster, more: &[&str]) -> Result<(Option<i32>, String)> {
    let Output {
        status,
        stdout,
        stderr,
    } = cluster.command(&[&["log", "adopt"], more].concat()).await?;
    let told = String::from_utf8([stdout, stderr].concat())?;
    Ok((status.code(), told))
}

/// What a stopped partition holds is not served, and its cursors are kept.
async fn is_refused(server: &Server, ann: &Person, channel: &str, cursor: &Value) {
    let page = format!("/channels/{channel}/messages");
    let refused = server.http().get(&page, ann.token()).await.expect(503);
    assert_eq!(refused.code(), "history_unavailable");
    let mut ws = ann.connect(server).await;
    let join = json!({"type": "join", "channel": channel, "after": cursor});
    assert_eq!(ws.refused(join).await, "history_unavailable");
    ws.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_that_was_made_anew_is_adopted_and_nothing_of_the_old_one_is_lost() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    say(&mut ws, "general", 0..30).await;
    has_all(&cluster, &server, &ann, "general", 30).await?;
    let cursor = ann.history(&server, "general").await[9]["id"].clone();

    let topic = cluster.topics.messages();
    admin()?.delete_topics(&[&topic], &options()).await?;
    let reason = server.part_says("broker", "was deleted").await;
    assert!(
        reason.contains(&topic) && reason.contains("Restart lakechat"),
        "{reason}"
    );
    server.http().get("/readyz", "").await.expect(503);
    drop(ws);
    assert!(server.stop().await.success());

    server.start_again().await;
    let reason = server.part_says("broker", "this is another log").await;
    assert!(reason.contains("lakechat log adopt"), "{reason}");
    server.part_is("broker", "degraded").await;
    let body = json!({"username": "ann", "password": PASSWORD});
    contract::eventually("it serves what it can", async || {
        let login = server
            .http()
            .open(reqwest::Method::POST, "/login", body.clone());
        Ok(login.await.status == 200)
    })
    .await?;
    is_refused(&server, &ann, "general", &cursor).await;
    assert!(server.stop().await.success());

    let (code, told) = adopt(&cluster, &[]).await?;
    assert_eq!(code, Some(1), "{told}");
    for words in [
        "generation 1\n",
        "generation 2\n",
        "the log holds 0 to 0: another log, begins at 0",
        "nothing was changed",
    ] {
        ensure!(told.contains(words), "{words} in {told}");
    }
    let (code, again) = adopt(&cluster, &[]).await?;
    assert_eq!((code, again), (Some(1), told));
    let (code, told) = adopt(&cluster, &["--yes"]).await?;
    assert_eq!(code, Some(0), "{told}");
    ensure!(told.contains("adopted: generation 2"), "{told}");

    server.restart().await;
    has_all(&cluster, &server, &ann, "general", 30).await?;
    let mut ws = ann.joined(&server, "general").await;
    say(&mut ws, "general", 30..40).await;
    has_all(&cluster, &server, &ann, "general", 40).await?;
    drop(ws);
    assert!(server.stop().await.success());
    server.restart().await;
    has_all(&cluster, &server, &ann, "general", 40).await?;
    let mut ws = ann.joined(&server, "general").await;
    say(&mut ws, "general", 40..45).await;
    has_all(&cluster, &server, &ann, "general", 45).await
}

/// An adoption of earlier that did not finish has left marks of the next generation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adoption_begins_where_its_plan_says_whatever_another_has_left() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    say(&mut ws, "general", 0..5).await;
    drop(ws);
    let last = ids(&ann.history(&server, "general").await)[4];
    assert!(server.stop().await.success());
    let left = Mark {
        offset: 40,
        id: last,
        time_ms: 0,
    };
    let history = HBase::start(&cluster.tables.settings)?.history(PARTITIONS, 2);
    for partition in (0..PARTITIONS).map(Partition) {
        history.advance_mark(partition, left).await?;
    }

    let topic = cluster.topics.messages();
    admin()?.delete_topics(&[&topic], &options()).await?;
    contract::eventually("the topic is gone", async || {
        Ok(make(&topic, PARTITIONS.into(), &GOOD).await.is_ok())
    })
    .await?;
    // Its partitions have no leaders for a moment.
    contract::eventually("it can be asked for its offsets", async || {
        let (_, told) = adopt(&cluster, &[]).await?;
        Ok(told.contains("another log, begins at 0"))
    })
    .await?;
    let (code, told) = adopt(&cluster, &["--yes"]).await?;
    assert_eq!(code, Some(0), "{told}");
    ensure!(told.contains("adopted: generation 3"), "{told}");
    server.restart().await;
    let mut ws = ann.joined(&server, "general").await;
    say(&mut ws, "general", 5..50).await;
    has_all(&cluster, &server, &ann, "general", 50).await
}

/// Up to which offset history has each partition.
async fn stored(cluster: &Cluster) -> Result<Vec<u64>> {
    let hbase = HBase::start(&cluster.tables.settings)?;
    let marks = hbase.history(PARTITIONS, 1).marks().await?;
    Ok(marks.iter().map(|mark| mark.offset).collect())
}

/// Lets Kafka lose records of a partition that history does not have.
async fn lose_unstored(cluster: &Cluster, partition: Partition) -> Result<()> {
    let topic = cluster.topics.messages();
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", BROKERS)
        .create()?;
    let record = FutureRecord::to(&topic)
        .key("general")
        .payload("no record")
        .partition(partition.0.into());
    let written = producer.send(record, contract::DEADLINE).await;
    let (_, offset) = written
        .map_err(|(error, _)| error)
        .map(|d| (d.partition, d.offset))?;
    delete_below(&topic, partition, u64::try_from(offset)? + 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partition_that_lost_records_stops_alone_and_the_others_are_stored_once() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    let (code, told) = adopt(&cluster, &["--yes"]).await?;
    assert_eq!(code, Some(1), "{told}");
    ensure!(told.contains("there is nothing to adopt"), "{told}");
    let mut ws = ann.joined(&server, "general").await;
    say(&mut ws, "general", 0..10).await;
    let before = stored(&cluster).await?;
    say(&mut ws, "general", 10..20).await;
    let after = stored(&cluster).await?;
    let moved = before
        .iter()
        .zip(&after)
        .position(|(before, after)| before != after);
    let general = Partition(u16::try_from(moved.context("one of them has it")?)?);
    let cursor = ann.history(&server, "general").await[9]["id"].clone();
    // Another channel, in another partition.
    let other = (0..).map(|n| format!("c{n}"));
    let other = pick_other(&cluster, &ann, &server, &mut ws, other, general).await?;
    drop(ws);
    assert!(server.stop().await.success());

    lose_unstored(&cluster, general).await?;
    server.start_again().await;
    let reason = server
        .part_says("broker", "what was between them is lost")
        .await;
    ensure!(
        reason.starts_with(&format!("partition {general}: ")),
        "{reason}"
    );
    ensure!(reason.contains("lakechat log adopt"), "{reason}");
    contract::eventually("the others are served", async || {
        let page = format!("/channels/{other}/messages");
        Ok(server.http().get(&page, ann.token()).await.status == 200)
    })
    .await?;
    is_refused(&server, &ann, "general", &cursor).await;
    let me = server.http().get("/me", ann.token()).await.expect(200);
    assert_eq!(me.json()["degraded"], true);
    let mut ws = ann.joined(&server, &other).await;
    say(&mut ws, &other, 20..25).await;
    drop(ws);
    assert!(server.stop().await.success());

    let (code, told) = adopt(&cluster, &["--yes"]).await?;
    assert_eq!(code, Some(0), "{told}");
    let lines = |words: &str| told.lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines("the records before it are lost"), 1, "{told}");
    assert_eq!(
        lines("the same log, goes on"),
        usize::from(PARTITIONS) - 1,
        "{told}"
    );
    server.restart().await;
    has_all(&cluster, &server, &ann, "general", 20).await?;
    has_all(&cluster, &server, &ann, &other, 25).await?;
    let mut ws = ann.joined(&server, "general").await;
    ws.join(&other, None).await;
    say(&mut ws, "general", 20..30).await;
    say(&mut ws, &other, 25..30).await;
    has_all(&cluster, &server, &ann, "general", 30).await?;
    has_all(&cluster, &server, &ann, &other, 30).await
}

/// Makes channels until one is in another partition, and says twenty texts in it.
async fn pick_other(
    cluster: &Cluster,
    ann: &Person,
    server: &Server,
    ws: &mut Ws,
    names: impl Iterator<Item = String>,
    than: Partition,
) -> Result<String> {
    for name in names {
        let before = stored(cluster).await?[than.index()];
        ann.create_channel(server, &name).await;
        ws.join(&name, None).await;
        say(ws, &name, 0..1).await;
        if stored(cluster).await?[than.index()] == before {
            say(ws, &name, 1..20).await;
            return Ok(name);
        }
    }
    unreachable!("there are infinitely many")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_runs_while_the_log_is_adopted_stops_and_says_so() -> Result<()> {
    let cluster: Arc<Cluster> = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    say(&mut ws, "general", 0..3).await;
    let (code, told) = adopt(&cluster, &["--skip", "99:0"]).await?;
    assert_eq!(code, Some(1), "{told}");
    ensure!(
        told.contains("--skip 99:0: there is no such offset"),
        "{told}"
    );
    let unused = stored(&cluster)
        .await?
        .iter()
        .position(|offset| *offset == 0);
    let skip = format!("{}:0", unused.context("sixteen are not all used")?);
    let (code, told) = adopt(&cluster, &["--skip", &skip, "--yes"]).await?;
    assert_eq!(code, Some(0), "{told}");
    let reason = server.part_says("broker", "the log was adopted anew").await;
    ensure!(
        reason.contains("generation 2, this server has 1"),
        "{reason}"
    );
    ensure!(reason.contains("restart it"), "{reason}");
    server.http().get("/readyz", "").await.expect(503);
    let closed = ws.closed().await;
    assert_eq!(closed.code, Some(4000));
    let mut ws = ann.connect(&server).await;
    let join = json!({"type": "join", "channel": "general"});
    assert_eq!(ws.refused(join).await, "history_unavailable");

    // Another server knows the adopted log, and stores what the stopped one still claims.
    let second = Server::of(&cluster, &[("LAKECHAT_SERVER__ID", "second")]).await;
    let mut ws = ann.joined(&second, "general").await;
    let others = ["one", "two", "three", "four", "five", "six"];
    for name in others {
        ann.create_channel(&second, name).await;
        ws.join(name, None).await;
        let persisted = json!({"type": "send", "channel": name, "text": "0", "ref": 1_000,
            "client_msg_id": name, "ack": "persisted"});
        ws.send(persisted).await;
    }
    for _ in others {
        let ack = ws.until(|frame| frame["ref"] == 1_000).await;
        assert_eq!(ack["level"], "persisted", "{ack}");
    }
    drop(ws);
    assert!(server.stop().await.success());
    server.restart().await;
    let mut ws = ann.joined(&server, "general").await;
    say(&mut ws, "general", 3..6).await;
    has_all(&cluster, &server, &ann, "general", 6).await
}
