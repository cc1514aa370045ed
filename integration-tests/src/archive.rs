//! The archive, held against the log by software that nobody here wrote: the HBase shell, Kafka's
//! console consumer, and a Python client of HBase's Thrift server.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::{Server, eventually, stack};

/// Waits until all that a server has read of the log is in HBase.
pub async fn is_complete(server: &Server) {
    eventually("all is archived", async || {
        let ready = server.http().get("/readyz", "").await.json();
        (ready["parts"]["archiver"]["lag_records"] == 0).then_some(())
    })
    .await;
}

/// Compares all rows with the log: each message once, by the id that its record's place mints, numbered
/// without a gap, and nothing else. Tells how many there are. The log's clock must never have gone back, and
/// nothing in it may be late or older than the window of retries.
pub fn rows_are_the_log(cluster: &Cluster) -> Result<usize> {
    let log = log_of(cluster)?;
    let said = first_tries(&log);
    let tables = cluster.tables.name_prefix();
    let count = format!("count '{tables}messages', INTERVAL => 1000000\n");
    let counted = stack::hbase_shell(&count)?;
    let wanted = format!("{} row(s)", said.len());
    ensure!(counted.contains(&wanted), "not {wanted}: {counted}");

    let rows = rows_of(&tables, &said)?;
    ensure!(rows.len() == said.len(), "{} rows were read", rows.len());
    for (id, logged) in &said {
        let row = rows.get(id).with_context(|| format!("no row {id}"))?;
        for field in ["text", "sender", "client_msg_id"] {
            let (stored, said) = (&row[field], &logged.record[field]);
            ensure!(stored == said, "{id}: {stored} is stored, {said} was said");
        }
        ensure!(row["sent_at"] == (id >> 22) + 1_704_067_200_000, "{row}");
    }
    Ok(said.len())
}

/// A record as the console consumer prints it.
struct Logged {
    partition: u64,
    append_ms: u64,
    record: Value,
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

/// The messages that count, with their ids: of one that was sent again, the first.
fn first_tries(log: &[Logged]) -> Vec<(u64, &Logged)> {
    let mut known = HashSet::new();
    let mut is_first = |logged: &Logged| {
        let key =
            ["channel", "sender", "client_msg_id"].map(|field| logged.record[field].to_string());
        known.insert(key)
    };
    let tries = minted(log).into_iter().zip(log);
    tries
        .filter(|(_, logged)| logged.record["kind"] == "message" && is_first(logged))
        .collect()
}

/// The rows of all channels in which something was said, by their ids.
fn rows_of(tables: &str, said: &[(u64, &Logged)]) -> Result<HashMap<u64, Value>> {
    let channel = |logged: &Logged| logged.record["channel"].as_str().map(str::to_owned);
    let channels: BTreeSet<_> = said
        .iter()
        .filter_map(|(_, logged)| channel(logged))
        .collect();
    let mut rows = HashMap::new();
    for channel in channels {
        // It checks by itself that numbers run without a gap up to the mark.
        for row in python_history(tables, &channel)?.lines() {
            let row: Value = serde_json::from_str(row)?;
            let id = row["id"].as_str().and_then(|id| id.parse().ok());
            rows.insert(id.context("an id")?, row);
        }
    }
    Ok(rows)
}

/// What `thrift/history.py` prints, which the project's documents show.
fn python_history(tables: &str, channel: &str) -> Result<String> {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../thrift/history.py");
    run(&python, &[script, &stack::thrift(), tables, channel])
        .context("Python with happybase: integration-tests/run makes one, TEST_PYTHON names it")
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
