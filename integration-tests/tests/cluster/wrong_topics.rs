//! Topics and tables that are not as they have to be: the start ends with what to do, and a topic that
//! changes under a server stops what it concerns.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration_tests::cluster::Cluster;
use integration_tests::hbase::{create, drop_table};
use integration_tests::on_kafka::{GOOD, admin, make, options, read_all, with};
use integration_tests::ws::{Got, send_frame};
use integration_tests::{Person, Server, Ws, eventually, stack};
use lakechat_cluster::hbase::schema;
use rdkafka::admin::NewPartitions;
use serde_json::{Value, json};

const PARTITIONS: i32 = 16;

/// What the server says that ends at its start.
async fn refusal(cluster: &Cluster) -> Result<String> {
    let data = tempfile::tempdir()?;
    let data = data.path().to_str().context("a plain name")?;
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data];
    let output = cluster.command(&serve).await?;
    let told = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{told}");
    let last = told.find("lakechat: ").with_context(|| told.clone())?;
    Ok(told[last..].to_owned())
}

/// Runs the first command of one of Kafka's tools that a text tells, as an operator would.
fn do_as_told(told: &str, script: &str, tool: &str) -> Result<()> {
    let (_, after) = told.split_once(script).with_context(|| told.to_owned())?;
    let command = after.split(['\n', ')', ';']).next().unwrap_or_default();
    let words: Vec<&str> = command.split_whitespace().collect();
    let [server, _, words @ ..] = words.as_slice() else {
        anyhow::bail!("no command: {told}");
    };
    ensure!(*server == "--bootstrap-server", "{command}");
    stack::run(&[&["kafka", tool], words].concat())?;
    Ok(())
}

/// A topic like this ends the start with this setting and the command that corrects it; after the
/// command the server starts.
async fn is_refused_until_corrected(partitions: i32, setting: &str, is: &str) -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let topic = cluster.topics.messages();
    let settings = match setting {
        "the number of partitions" => GOOD.to_vec(),
        setting => with(setting, is),
    };
    make(&topic, partitions, &settings).await?;
    let told = refusal(&cluster).await?;
    let fault = format!("lakechat: topic {topic}: {setting} is {is} and has to be ");
    ensure!(told.starts_with(&fault), "{told}");
    ensure!(told.trim_end().lines().count() == 1, "{told}");
    if setting == "the number of partitions" {
        // The one that deletes it stands behind.
        do_as_told(&told, "kafka-topics.sh", "topics")?;
    } else {
        do_as_told(&told, "kafka-configs.sh", "configs")?;
    }
    let server = Server::starting_of(&cluster, &[]).await;
    server.ready().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_with_stamps_of_senders_is_refused_until_it_is_corrected_as_told() -> Result<()> {
    is_refused_until_corrected(PARTITIONS, "message.timestamp.type", "CreateTime").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_with_short_retention_is_refused_until_it_is_corrected_as_told() -> Result<()> {
    is_refused_until_corrected(PARTITIONS, "retention.ms", "3600000").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_with_fewer_partitions_is_refused_until_it_is_corrected_as_told() -> Result<()> {
    is_refused_until_corrected(7, "the number of partitions", "7").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_with_more_partitions_and_short_retention_is_told_of_both() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let topic = cluster.topics.messages();
    make(&topic, 17, &with("retention.ms", "1000")).await?;
    let told = refusal(&cluster).await?;
    let lines: Vec<&str> = told.trim_end().lines().collect();
    let [count, retention] = lines.as_slice() else {
        anyhow::bail!("{told}");
    };
    ensure!(count.contains("is 17 and has to be 16"), "{told}");
    ensure!(count.contains("set chat.partitions to 17"), "{told}");
    ensure!(retention.contains("retention.ms is 1000"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_tables_and_families_are_told_with_what_helps() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let mut tables = schema::tables(&cluster.tables.settings).into_iter();
    let (messages, _) = tables
        .find(|(name, _)| name.ends_with("_messages"))
        .context("there is one")?;
    drop_table(&messages)?;
    let missing = refusal(&cluster).await?;
    let text = format!("table {messages} is missing: `lakechat schema print` has the statement");
    create(&messages, &["m"])?;
    let family = refusal(&cluster).await?;
    ensure!(missing.contains(&text), "{missing}");
    let text = format!("table {messages} has no family r: alter '{messages}', {{NAME => 'r'");
    ensure!(family.contains(&text), "{family}");
    Ok(())
}

async fn talking(cluster: &Arc<Cluster>) -> (Server, Person, Ws) {
    let server = Server::of(cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    persist(&mut ws, "general", "before").await;
    (server, ann, ws)
}

/// Says something and waits until history has it.
async fn persist(ws: &mut Ws, channel: &str, text: &str) {
    let frame = json!({"type": "send", "channel": channel, "text": text, "client_msg_id": text,
        "ack": "persisted"});
    let ack = ws.ask(frame).await;
    assert_eq!(ack["level"], "persisted", "{ack}");
}

/// Writes a record into the partition of a channel by Kafka's console producer, whose partitioner is the
/// one that lakechat computes.
async fn produce(cluster: &Cluster, channel: &str, value: &str) -> Result<()> {
    let (topic, line) = (cluster.topics.messages(), format!("{channel}\t{value}\n"));
    let words = move || {
        let tool = ["kafka", "console-producer", "--topic", &topic];
        stack::feed(
            &[&tool[..], &["--property", "parse.key=true"]].concat(),
            &line,
        )
    };
    tokio::task::spawn_blocking(words).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_record_is_kept_aside_and_its_partition_goes_on() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let (server, ann, mut ws) = talking(&cluster).await;
    produce(&cluster, "general", "by hand").await?;
    persist(&mut ws, "general", "after").await;
    let topic = cluster.topics.dead_letters();
    let letters = tokio::task::spawn_blocking(move || read_all(&topic, 1)).await??;
    assert_eq!(&letters[0].record.key[..], b"general");
    assert_eq!(&letters[0].record.value[..], b"by hand");
    ensure!(!letters[0].reason.is_empty());
    let messages = ann.history(&server, "general").await;
    let texts: Vec<&Value> = messages.iter().map(|m| &m["text"]).collect();
    assert_eq!(texts, ["before", "after"]);
    server.http().get("/readyz", "").await.expect(200);
    let told = server.log();
    ensure!(
        told.iter()
            .any(|line| line.contains("a record of the log is unreadable"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_of_a_newer_version_stops_its_partition_and_says_so() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let (server, ann, mut ws) = talking(&cluster).await;
    // One of these is in another partition.
    let others = ["one", "two", "three", "four", "five", "six"];
    for name in others {
        ann.create_channel(&server, name).await;
        ws.join(name, None).await;
    }
    produce(&cluster, "general", r#"{"v":2,"of":"the future"}"#).await?;
    let reason = server
        .part_says("broker", "holds a record of version 2")
        .await;
    ensure!(reason.contains("upgrade this server"), "{reason}");
    server.part_is("broker", "degraded").await;
    server.http().get("/readyz", "").await.expect(200);
    let closed = ws.closed().await;
    assert_eq!(closed.code, Some(4000));

    let mut ws = ann.connect(&server).await;
    assert_eq!(ws.welcome["degraded"], json!(["broker"]));
    let join = |channel: &str| json!({"type": "join", "channel": channel});
    assert_eq!(ws.refused(join("general")).await, "history_unavailable");
    let mut goes_on = 0;
    for name in others {
        if ws.ask(join(name)).await["type"] == "joined" {
            persist(&mut ws, name, "x").await;
            goes_on += 1;
        }
    }
    ensure!(goes_on > 0, "the other partitions go on");
    for path in ["/me", "/channels"] {
        let listed = server.http().get(path, ann.token()).await.expect(200);
        let listed = listed.json();
        assert_eq!(listed["degraded"], true, "{path}");
        let channels = listed["channels"].as_array().context("a list")?;
        assert_eq!(channels.len(), 1 + others.len(), "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_are_added_to_a_running_server_stop_it() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let (server, _ann, mut ws) = talking(&cluster).await;
    let topic = cluster.topics.messages();
    let more = NewPartitions::new(&topic, 17);
    admin()?.create_partitions([&more], &options()).await?;
    let reason = server.part_says("broker", "is 17 and has to be 16").await;
    ensure!(reason.contains("partitions can't be removed"), "{reason}");
    server.http().get("/readyz", "").await.expect(503);
    let send = json!({"type": "send", "channel": "general", "text": "x", "client_msg_id": "x"});
    assert_eq!(ws.refused(send).await, "broker_unavailable");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_that_is_lowered_under_a_server_is_logged_with_the_command_that_corrects_it()
-> Result<()> {
    let cluster = Cluster::fresh().await?;
    let (server, _ann, mut ws) = talking(&cluster).await;
    let topic = cluster.topics.messages();
    let entity = ["--entity-type", "topics", "--entity-name", topic.as_str()];
    let lower = ["--alter", "--add-config", "retention.ms=3600000"];
    stack::run(&[&["kafka", "configs"], &lower[..], &entity].concat())?;
    let told = eventually("the log says so", async || {
        let mut lines = server.log().into_iter();
        lines.rfind(|line| line.contains("retention.ms is 3600000"))
    })
    .await;
    do_as_told(&told, "kafka-configs.sh", "configs")?;
    eventually("the log says that it was changed", async || {
        let mut lines = server.log().into_iter();
        lines.find(|line| line.contains("a setting of the log was changed"))
    })
    .await;
    // Nothing of this stops the server.
    server.http().get("/readyz", "").await.expect(200);
    persist(&mut ws, "general", "after").await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_that_stops_stamping_stops_its_partition_until_it_is_skipped() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let (mut server, ann, mut ws) = talking(&cluster).await;
    let topic = cluster.topics.messages();
    let stamps = |stamp: &str| {
        let setting = format!("message.timestamp.type={stamp}");
        let entity = ["--entity-type", "topics", "--entity-name", topic.as_str()];
        let words = ["kafka", "configs", "--alter", "--add-config", &setting];
        stack::run(&[&words[..], &entity].concat())
    };
    stamps("CreateTime")?;
    // The broker goes by it some time after it was told; what it then writes is never acked.
    let mut acked = 0;
    loop {
        let text = format!("x{acked}");
        ws.send(send_frame("general", &text, &text)).await;
        let is_acked = loop {
            match ws.got().await {
                Got::Frame(frame) if frame["type"] == "ack" => break true,
                Got::Frame(_) => {}
                Got::Closed(code) => {
                    assert_eq!(code, Some(4000));
                    break false;
                }
            }
        };
        if !is_acked {
            break;
        }
        acked += 1;
        ensure!(acked < 10_000, "it goes on");
    }
    let reason = server
        .part_says("broker", "was not stamped by the log")
        .await;
    let (_, skip) = reason
        .split_once("--skip ")
        .with_context(|| reason.clone())?;
    let (skip, _) = skip.split_once('`').with_context(|| reason.clone())?;
    drop(ws);
    server.stop().await;
    do_as_told(&reason, "kafka-configs.sh", "configs")?;

    let adopt = ["log", "adopt", "--yes", "--skip", skip];
    let adopted = cluster.command(&adopt).await?;
    ensure!(adopted.status.success(), "{adopted:?}");
    server.restart().await;
    let mut ws = ann.joined(&server, "general").await;
    persist(&mut ws, "general", "after").await;
    let messages = ann.history(&server, "general").await;
    let texts: Vec<&str> = messages.iter().flat_map(|m| m["text"].as_str()).collect();
    let x: Vec<_> = (0..acked).map(|n| format!("x{n}")).collect();
    let said = ["before"].into_iter().chain(x.iter().map(String::as_str));
    assert_eq!(texts, said.chain(["after"]).collect::<Vec<_>>());
    drop(ws);

    // The mark is behind the skipped records now, and a warm-up would begin before them.
    server.stop().await;
    server.restart().await;
    let second = Server::of(&cluster, &[("LAKECHAT_SERVER__ID", "second")]).await;
    for server in [&server, &second] {
        server.part_is("broker", "up").await;
        assert_eq!(ann.history(server, "general").await, messages);
    }
    let mut ws = ann.joined(&second, "general").await;
    persist(&mut ws, "general", "last").await;
    Ok(())
}
