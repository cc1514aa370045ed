//! The talk that docs/rows.md shows, on a real server: six messages with a file, of which one is
//! edited and reacted to and another one deleted.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hbase_thrift::hbase::THbaseSyncClient;
use integration_tests::cluster::Cluster;
use integration_tests::hbase::client;
use integration_tests::on_kafka::BROKERS;
use integration_tests::{Person, Server, Ws, eventually};
use lakechat_core::domain::{Id, now_ms};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use super::alike::Run;

const CHANNEL: &str = "ops";
const PREFIX: &[u8] = b"e8ops\0";

/// More than there are.
const ROWS: i32 = 100;

pub struct Scene {
    pub cluster: Arc<Cluster>,
    pub run: Run,
    _server: Server,
}

impl Scene {
    pub async fn play() -> Result<Scene> {
        let cluster = Cluster::fresh().await?;
        let server = Server::of(&cluster, &[]).await;
        let file = talk(&server).await;
        let messages = ids(&cluster, "messages", 6).await?;
        change(&cluster, &messages).await?;
        let changes = ids(&cluster, "changes", 3).await?;
        let run = Run {
            ids: [messages, changes].concat(),
            file,
        };
        Ok(Scene {
            cluster,
            run,
            _server: server,
        })
    }
}

/// The id of the file that was posted.
async fn talk(server: &Server) -> String {
    let ann = Person::register(server, "ann").await;
    let bob = Person::register(server, "bob").await;
    ann.create_channel(server, CHANNEL).await;
    let mut at_ann = ann.joined(server, CHANNEL).await;
    let mut at_bob = bob.joined(server, CHANNEL).await;
    say(&mut at_ann, "deploy of 1.4 starts at ten").await;
    say(&mut at_bob, "hdfs balancer is still running").await;
    say(&mut at_ann, "then let us wait for it").await;
    let bytes = b"job,state\n7,late\n".to_vec();
    let file = server.http().upload(bob.token(), "jobs.csv", bytes).await;
    let file = file.expect(201).json()["id"].clone();
    post(&mut at_bob, json!({"text": "", "file_id": file})).await;
    say(&mut at_bob, "the password is hunter2").await;
    say(&mut at_ann, "läuft: starting with node 1").await;
    file.as_str().expect("an id").to_owned()
}

async fn say(ws: &mut Ws, text: &str) {
    post(ws, json!({"text": text})).await;
}

async fn post(ws: &mut Ws, mut frame: Value) {
    frame["type"] = "send".into();
    frame["channel"] = CHANNEL.into();
    let id = uuid::Uuid::new_v4().simple().to_string();
    frame["client_msg_id"] = id.into();
    let ack = ws.ask(frame).await;
    assert_eq!(ack["type"], "ack");
    // The document's ranges of time tell messages apart, so no two are of one millisecond.
    let id: Id = ack["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("an id");
    let later = async || (now_ms() > id.ms()).then_some(());
    eventually("the next message has a later time", later).await;
}

/// Changes messages by records, as they come from a server.
async fn change(cluster: &Cluster, messages: &[String]) -> Result<()> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", BROKERS)
        // As Java's clients do it, and lakechat.
        .set("partitioner", "murmur2_random")
        .create()?;
    let received_at = std::time::UNIX_EPOCH.elapsed()?.as_millis() as u64;
    let record = |sender: &str, body: Value| {
        let mut record = json!({
            "v": 1, "channel": CHANNEL, "private": false, "sender": sender,
            "digest": "0123456789abcdef", "received_at": received_at,
        });
        let fields = record.as_object_mut().expect("an object");
        fields.extend(body.as_object().cloned().expect("an object"));
        record.to_string()
    };
    let (edited, deleted) = (&messages[4], &messages[2]);
    let edit = json!({"kind": "edit", "target": edited, "text": "the password is gone"});
    let react = json!({"kind": "react", "target": edited, "emoji": "👍", "on": true});
    let delete = json!({"kind": "delete", "target": deleted});
    for value in [
        record("bob", edit),
        record("ann", react),
        record("ann", delete),
    ] {
        let topic = cluster.topics.messages();
        let record = FutureRecord::to(&topic).key(CHANNEL).payload(&value);
        let sent = producer.send(record, Duration::from_secs(30)).await;
        sent.map_err(|(error, _)| error)?;
    }
    Ok(())
}

/// The ids of the channel's rows in a table, once there are so many.
async fn ids(cluster: &Cluster, table: &str, count: usize) -> Result<Vec<String>> {
    let table = format!("{}{table}", cluster.tables.name_prefix());
    let look = async || {
        let found = tokio::task::block_in_place(|| keys(&table)).ok()?;
        (found.len() == count).then_some(found)
    };
    let found = eventually("all is archived", look).await;
    let ids = found.into_iter().map(|key| {
        let id = key
            .get(PREFIX.len()..)
            .context("an id behind the channel")?;
        Ok(std::str::from_utf8(id)?.to_owned())
    });
    ids.collect()
}

fn keys(table: &str) -> Result<Vec<Vec<u8>>> {
    let mut client = client()?;
    let none = Default::default();
    let scanner = client.scanner_open_with_prefix(table.into(), PREFIX.into(), vec![], none)?;
    let rows = client.scanner_get_list(scanner, ROWS)?;
    client.scanner_close(scanner)?;
    Ok(rows.into_iter().filter_map(|row| row.row).collect())
}
