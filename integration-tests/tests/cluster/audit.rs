//! `lakechat audit` over a cluster: rows that an archiver lost, and what somebody did to rows and files by
//! hand, are found and named.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hbase_thrift::hbase::{Mutation, THbaseSyncClient};
use hdfs_native::WriteOptions;
use integration_tests::bytes::made;
use integration_tests::cluster::Cluster;
use integration_tests::hbase::client;
use integration_tests::on_kafka::{self, BROKERS};
use integration_tests::traffic::Traffic;
use integration_tests::{Person, Server, audit, contract, on_hdfs, within};
use lakechat_cluster::hbase::HBase;
use lakechat_core::domain::{Id, Partition};
use lakechat_core::ports::history::Mark;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Timestamp};
use serde_json::{Value, json};

const CHANNEL: &str = "ops";
const PREFIX: &str = "e8ops\0";
const PARTITIONS: u16 = 16;

/// A record of the log, as servers publish them.
fn record(body: &Value) -> Result<String> {
    let received_at = std::time::UNIX_EPOCH.elapsed()?.as_millis() as u64;
    let mut record = json!({
        "v": 1, "channel": CHANNEL, "private": false, "sender": "ann",
        "digest": "0123456789abcdef", "received_at": received_at,
    });
    let fields = record.as_object_mut().context("an object")?;
    fields.extend(body.as_object().cloned().context("an object")?);
    Ok(record.to_string())
}

/// Appends messages to the log of stopped servers, deletes the last of them, and moves the mark past all of it, as an
/// archiver would that loses rows. The ids of the messages.
async fn lose(cluster: &Cluster, texts: &[&str]) -> Result<Vec<Id>> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", BROKERS)
        .set("partitioner", "murmur2")
        .create()?;
    let topic = cluster.topics.messages();
    let (mut ids, mut last): (Vec<Id>, _) = (Vec::new(), (0, 0));
    for n in 0..=texts.len() {
        let body = match texts.get(n) {
            Some(text) => json!({"kind": "message", "text": text}),
            None => json!({"kind": "delete", "target": ids[n - 1]}),
        };
        let value = record(&body)?;
        let record = FutureRecord::to(&topic).key(CHANNEL).payload(&value);
        let sent = producer.send(record, contract::DEADLINE).await;
        let sent = sent.map_err(|(error, _)| error)?;
        let (Timestamp::LogAppendTime(ms) | Timestamp::CreateTime(ms)) = sent.timestamp else {
            anyhow::bail!("no append time");
        };
        let append_ms = u64::try_from(ms)?;
        let step = if last.0 == append_ms { last.1 + 1 } else { 0 };
        last = (append_ms, step);
        let partition = Partition(u16::try_from(sent.partition)?);
        ids.push(Id::mint(append_ms, partition, step));
        let mark = Mark {
            offset: u64::try_from(sent.offset)? + 1,
            id: ids[n],
            time_ms: append_ms,
        };
        let hbase = HBase::start(&cluster.tables.settings)?;
        let history = hbase.history(PARTITIONS, 1);
        history.marks().await?;
        history.advance_mark(partition, mark).await?;
    }
    ids.pop();
    Ok(ids)
}

/// Puts cells into a row of `messages`, by a plain client.
fn put(cluster: &Cluster, row: &str, cells: &[(&str, &str)]) -> Result<()> {
    let mutation = |(column, value): &(&str, &str)| {
        Mutation::new(
            false,
            column.as_bytes().to_vec(),
            value.as_bytes().to_vec(),
            true,
        )
    };
    let table = format!("{}messages", cluster.tables.name_prefix());
    let mutations = cells.iter().map(mutation).collect();
    client()?.mutate_row(table.into(), row.into(), mutations, Default::default())?;
    Ok(())
}

async fn talk() -> Result<(Arc<Cluster>, Server)> {
    let cluster = Cluster::fresh().await?;
    let server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    ann.create_channel(&server, CHANNEL).await;
    let mut ws = ann.joined(&server, CHANNEL).await;
    ws.join("general", None).await;
    for n in 0..5 {
        ws.say(CHANNEL, &format!("o-{n}"), &format!("text {n}"))
            .await;
        ws.say("general", &format!("g-{n}"), &format!("more {n}"))
            .await;
    }
    for size in [17u64, 200_000] {
        let file = ann
            .api()
            .upload(ann.token(), "a file", size, made(3, size))
            .await?;
        let frame = json!({"type": "send", "channel": CHANNEL, "text": "",
            "client_msg_id": size.to_string(), "file_id": file.id});
        assert_eq!(ws.ask(frame).await["type"], "ack");
    }
    ws.close().await;
    let said = ann.history(&server, CHANNEL).await;
    let topic = cluster.topics.messages();
    let target = |n: usize| said[n]["id"].clone();
    for body in [
        json!({"kind": "edit", "target": target(1), "text": "an edit"}),
        json!({"kind": "react", "target": target(1), "emoji": "👍", "on": true}),
        json!({"kind": "delete", "target": target(2)}),
    ] {
        on_kafka::write(&topic, CHANNEL, &record(&body)?).await?;
    }
    on_kafka::write(&topic, CHANNEL, "no record").await?;
    contract::eventually("all is archived", async || {
        let audited = audit::cluster(&cluster, &["--only", "messages"]).await?;
        let compared = &audited.report["messages"];
        Ok(compared["messages"] == 12 && compared["changes"] == 3)
    })
    .await?;
    Ok((cluster, server))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_of_a_cluster_finds_each_kind_of_difference_and_repairs_lost_rows() -> Result<()> {
    let (cluster, mut server) = talk().await?;
    let audited = async |args: &[&str]| audit::cluster(&cluster, args).await;
    audited(&["--older"]).await?.is_clean(12)?;
    server.stop().await;

    // What an archiver lost.
    let lost = lose(&cluster, &["kept", "deleted"]).await?;
    let found = audited(&["--only", "messages"]).await?;
    let kinds = &found.report["kinds"];
    assert_eq!(kinds["message_missing"]["count"], 2, "{found:#?}");
    assert_eq!(kinds["change_missing"]["count"], 1, "{found:#?}");
    ensure!(
        found.code == 1 && found.told.contains("channel ops, id"),
        "{found:#?}"
    );
    audited(&["--repair"]).await?.repaired()?;
    audited(&[]).await?.is_clean(14)?;

    // What somebody did by hand.
    let row = |id: Id| format!("{PREFIX}{id}");
    let (kept, invented) = (
        row(lost[0]),
        row(Id::from_u64(lost[0].as_u64() + 1).context("63 bits")?),
    );
    put(&cluster, &kept, &[("m:text", "tampered")])?;
    audited(&[]).await?.found("message_differs", 1, "text")?;
    put(&cluster, &kept, &[("m:text", "kept"), ("m:n", "70")])?;
    audited(&[])
        .await?
        .found("number_differs", 1, "is number 70 and should be 8")?;
    put(&cluster, &kept, &[("m:n", "x")])?;
    audited(&[])
        .await?
        .found("row_unreadable", 1, &lost[0].to_string())?;
    put(&cluster, &kept, &[("m:n", "8")])?;
    let cells = [
        ("m:text", "never said"),
        ("m:sender", "eve"),
        ("m:n", "9"),
        ("m:sent_at", "1"),
    ];
    put(&cluster, &invented, &cells)?;
    audited(&[])
        .await?
        .found("message_without_record", 1, "channel ops")?;
    let table = format!("{}messages", cluster.tables.name_prefix());
    client()?.delete_all_row(table.into(), invented.into(), Default::default())?;
    audited(&[]).await?.is_clean(14)?;

    // A deleted row can't be seen again before HBase forgets the deletion.
    let table = format!("{}messages", cluster.tables.name_prefix());
    client()?.delete_all_row(table.into(), kept.into(), Default::default())?;
    audited(&[])
        .await?
        .found("message_missing", 1, "is number 8")?;
    let hidden = audited(&["--repair"]).await?;
    ensure!(
        hidden.code == 1 && hidden.told.contains("run major_compact"),
        "{hidden:#?}"
    );

    // The deleted text was not brought back.
    server.restart().await;
    let ann = Person::register(&server, "bob").await;
    let mut ws = ann.joined(&server, CHANNEL).await;
    ws.close().await;
    let said = ann.history(&server, CHANNEL).await;
    let last = said.last().context("messages")?;
    assert_eq!((&last["id"], &last["text"]), (&json!(lost[1]), &json!("")));
    ws = ann.joined(&server, CHANNEL).await;
    ws.say(CHANNEL, "later", "goes on").await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_of_a_cluster_finds_bytes_that_are_missing_cut_and_nobodys() -> Result<()> {
    let (cluster, _server) = talk().await?;
    let audited = async || audit::cluster(&cluster, &["--only", "files"]).await;
    let hdfs = on_hdfs::client()?;
    let stored = cluster.files_in("files")?.pop().context("the large file")?;
    let stored = stored.to_str().context("UTF-8")?;
    let aside = format!("{}/aside", cluster.root.0);
    hdfs.rename(stored, &aside, false).await?;
    audited()
        .await?
        .found("file_bytes_missing", 1, "there is no file")?;
    let mut cut = hdfs.create(stored, WriteOptions::default()).await?;
    cut.write_bytes(vec![7; 100].into()).await?;
    cut.close().await?;
    audited()
        .await?
        .found("file_bytes_differ", 1, "100 bytes and the row says 200000")?;
    hdfs.delete(stored, false).await?;
    hdfs.rename(&aside, stored, false).await?;

    let id = uuid::Uuid::new_v4().to_string();
    let stray = format!("{}/files/{}/{id}", cluster.root.0, &id[..2]);
    let mut file = hdfs.create(&stray, WriteOptions::default()).await?;
    file.write_bytes(vec![7; 100].into()).await?;
    file.close().await?;
    assert_eq!(
        audited().await?.code,
        0,
        "a server may still be writing its row"
    );
    on_hdfs::age(&stray, Duration::from_secs(2 * 3600)).await?;
    audited().await?.found("file_bytes_without_row", 1, &id)?;

    let listed = cluster
        .command(&["dead-letters", "--json", "--values"])
        .await?;
    ensure!(listed.status.success(), "{listed:?}");
    let line: Value = serde_json::from_slice(&listed.stdout)?;
    assert_eq!(
        (&line["key"], &line["value"]),
        (&json!(CHANNEL), &json!("no record"))
    );
    ensure!(
        line["reason"].is_string() && line["offset"].is_u64(),
        "{line}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_beside_a_cluster_under_traffic_finds_nothing() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let servers = [
        Server::of(&cluster, &[]).await,
        Server::of(&cluster, &[]).await,
    ];
    let all: Vec<_> = servers.iter().collect();
    let mut traffic = Traffic::begin(&all, 4, Duration::from_millis(5)).await;
    for _ in 0..3 {
        traffic.acked_more(100).await;
        let audited = audit::cluster(&cluster, &["--older"]).await?;
        ensure!(
            audited.code == 0 && audited.report["differences"] == 0,
            "{audited:#?}"
        );
    }
    let said = within(traffic.settle(&all)).await;
    contract::eventually("all is archived and compared", async || {
        let audited = audit::cluster(&cluster, &["--since", "1h"]).await?;
        ensure!(
            audited.code == 0 && audited.report["differences"] == 0,
            "{audited:#?}"
        );
        Ok(audited.report["messages"]["messages"] == said)
    })
    .await
}
