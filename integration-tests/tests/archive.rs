//! The archive, held against the log by software that nobody here wrote: the HBase shell, Kafka's
//! console consumer, and a Python client of HBase's Thrift server.

use std::collections::HashMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration_tests::cluster::Cluster;
use integration_tests::ws::send_frame;
use integration_tests::{Person, Server, eventually, stack};
use serde_json::Value;

/// Messages that are sent, by so many people.
const MESSAGES: usize = 100_000;
const PEOPLE: usize = 10;
/// Frames that one of them has on the way.
const WINDOW: usize = 50;

/// A record as the console consumer prints it.
struct Logged {
    partition: u64,
    append_ms: u64,
    record: Value,
}

fn run(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| program.to_owned())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {args:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The whole topic, by Kafka's console consumer: `LogAppendTime:…\tPartition:…\tOffset:…\tvalue`.
fn log_of(cluster: &Cluster) -> Result<Vec<Logged>> {
    let topic = cluster.topics.messages();
    let printed = stack::run(&[
        "kafka",
        "console-consumer",
        "--topic",
        &topic,
        "--from-beginning",
        "--timeout-ms",
        "10000",
        "--property",
        "print.timestamp=true",
        "--property",
        "print.partition=true",
        "--property",
        "print.offset=true",
    ])?;
    let printed = String::from_utf8(printed)?;
    let number = |field: &str| field.split(':').next_back()?.parse::<u64>().ok();
    let lines = printed.lines().map(|line| {
        let mut fields = line.splitn(4, '\t');
        let mut next = || fields.next().with_context(|| line.to_owned());
        let (append, partition, _offset, value) = (next()?, next()?, next()?, next()?);
        Ok(Logged {
            append_ms: number(append).context("an append time")?,
            partition: number(partition).context("a partition")?,
            record: serde_json::from_str(value)?,
        })
    });
    lines.collect()
}

/// The ids of a log whose clock never went back and in which nothing was late: what the design says,
/// written once more.
fn minted(log: &[Logged]) -> Vec<u64> {
    let mut clocks: HashMap<u64, (u64, u64)> = HashMap::new();
    let mint = |logged: &Logged| {
        let (clock, step) = clocks.entry(logged.partition).or_default();
        if logged.append_ms > *clock {
            (*clock, *step) = (logged.append_ms, 0);
        } else if *step < 4095 {
            *step += 1;
        } else {
            (*clock, *step) = (*clock + 1, 0);
        }
        (*clock - 1_704_067_200_000) << 22 | logged.partition << 12 | *step
    };
    log.iter().map(mint).collect()
}

async fn talk(server: &Server) {
    let mut talking = Vec::new();
    for person in 0..PEOPLE {
        let name = format!("p{person}");
        let person = Person::register(server, &name).await;
        let channel = format!("c{}", name.len() + name.as_bytes()[1] as usize % 3);
        let created = serde_json::json!({"name": channel, "kind": "public"});
        // Whoever is first makes it.
        let _ = server
            .http()
            .post("/channels", person.token(), created)
            .await;
        let mut ws = person.joined(server, &channel).await;
        talking.push(tokio::spawn(async move {
            let (mut sent, mut acked) = (0, 0);
            while acked < MESSAGES / PEOPLE {
                while sent < MESSAGES / PEOPLE && sent - acked < WINDOW {
                    let text = format!("{name} says {sent}: é “quoted” \\ and\ttab");
                    let mut frame = send_frame(&channel, &format!("{name}-{sent}"), &text);
                    frame["ref"] = (sent as u64 + 1_000_000).into();
                    ws.feed(frame).await;
                    sent += 1;
                }
                ws.flush().await;
                ws.until(|frame| frame["type"] == "ack").await;
                acked += 1;
            }
        }));
    }
    for talk in talking {
        talk.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_the_log_message_by_message() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let server = Server::of(&cluster, &[]).await;
    talk(&server).await;
    eventually("all is archived", async || {
        let ready = server.http().get("/readyz", "").await.json();
        (ready["parts"]["archiver"]["lag_records"] == 0).then_some(())
    })
    .await;

    let log = log_of(&cluster)?;
    let ids = minted(&log);
    let said: Vec<_> = log
        .iter()
        .zip(ids)
        .filter(|(l, _)| l.record["kind"] == "message")
        .collect();
    assert_eq!(said.len(), MESSAGES);

    let config = &cluster.tables.config;
    let table = format!(
        "{}:{}messages",
        config.namespace.as_str(),
        config.table_prefix.as_str()
    );
    let counted = stack::hbase_shell(&format!("count '{table}', INTERVAL => 1000000\n"))?;
    assert!(counted.contains(&format!("{MESSAGES} row(s)")), "{counted}");

    let prefix = format!(
        "{}:{}",
        config.namespace.as_str(),
        config.table_prefix.as_str()
    );
    let mut rows: HashMap<u64, Value> = HashMap::new();
    let mut channels: Vec<_> = said
        .iter()
        .map(|(l, _)| l.record["channel"].clone())
        .collect();
    channels.sort_by_key(Value::to_string);
    channels.dedup();
    for channel in channels {
        let channel = channel.as_str().context("a name")?;
        // It checks by itself that numbers run without a gap up to the mark.
        for row in python_history(&prefix, channel)?.lines() {
            let row: Value = serde_json::from_str(row)?;
            let id = row["id"]
                .as_str()
                .and_then(|id| id.parse().ok())
                .context("an id")?;
            rows.insert(id, row);
        }
    }
    assert_eq!(rows.len(), MESSAGES);
    for (logged, id) in said {
        let row = rows.get(&id).with_context(|| format!("no row {id}"))?;
        for field in ["text", "sender", "client_msg_id"] {
            assert_eq!(row[field], logged.record[field], "{id}");
        }
        assert_eq!(row["sent_at"], (id >> 22) + 1_704_067_200_000);
    }
    Ok(())
}

/// What `thrift/history.py` prints, which the project's documents show.
fn python_history(tables: &str, channel: &str) -> Result<String> {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../thrift/history.py");
    run(&python, &[script, &stack::thrift(), tables, channel])
        .context("Python with happybase: integration-tests/run makes one, TEST_PYTHON names it")
}
