//! The talk that docs/rows.md shows, on a real server: six messages with a file, of which one is
//! edited and reacted to and another one deleted.

use std::sync::Arc;

use anyhow::{Context, Result};
use hbase_thrift::hbase::THbaseSyncClient;
use integration_tests::cluster::Cluster;
use integration_tests::hbase::client;
use integration_tests::{Person, Server, Ws, eventually};
use lakechat_core::domain::{Id, now_ms};
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
        let mut people = People::joined(&server).await;
        let file = people.talk(&server).await;
        let messages = ids(&cluster, "messages", 6).await?;
        change(&mut people, &messages).await;
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

struct People {
    ann: Ws,
    bob: Ws,
    bobs_token: String,
}

impl People {
    async fn joined(server: &Server) -> People {
        let ann = Person::register(server, "ann").await;
        let bob = Person::register(server, "bob").await;
        ann.create_channel(server, CHANNEL).await;
        People {
            ann: ann.joined(server, CHANNEL).await,
            bob: bob.joined(server, CHANNEL).await,
            bobs_token: bob.token().to_owned(),
        }
    }

    /// The id of the file that is posted.
    async fn talk(&mut self, server: &Server) -> String {
        say(&mut self.ann, "deploy of 1.4 starts at ten").await;
        say(&mut self.bob, "hdfs balancer is still running").await;
        say(&mut self.ann, "then let us wait for it").await;
        let bytes = b"job,state\n7,late\n".to_vec();
        let upload = server.http().upload(&self.bobs_token, "jobs.csv", bytes);
        let file = upload.await.expect(201).json()["id"].clone();
        post(&mut self.bob, json!({"text": "", "file_id": file})).await;
        say(&mut self.bob, "the password is hunter2").await;
        say(&mut self.ann, "läuft: starting with node 1").await;
        file.as_str().expect("an id").to_owned()
    }
}

async fn say(ws: &mut Ws, text: &str) {
    post(ws, json!({"text": text})).await;
}

async fn post(ws: &mut Ws, mut frame: Value) {
    frame["type"] = "send".into();
    let id = uuid::Uuid::new_v4().simple().to_string();
    frame["client_msg_id"] = id.into();
    let ack = ask(ws, frame).await;
    // The document's ranges of time tell messages apart, so no two are of one millisecond.
    let id: Id = ack["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("an id");
    let later = async || (now_ms() > id.ms()).then_some(());
    eventually("the next message has a later time", later).await;
}

async fn change(people: &mut People, messages: &[String]) {
    let (edited, deleted) = (&messages[4], &messages[2]);
    let edit = json!({"type": "edit", "id": edited, "text": "the password is gone"});
    let react = json!({"type": "react", "id": edited, "emoji": "👍"});
    let delete = json!({"type": "delete", "id": deleted});
    ask(&mut people.bob, edit).await;
    ask(&mut people.ann, react).await;
    ask(&mut people.ann, delete).await;
}

/// Asks for something in the channel that is accepted; the ack.
async fn ask(ws: &mut Ws, mut frame: Value) -> Value {
    frame["channel"] = CHANNEL.into();
    let ack = ws.ask(frame).await;
    assert_eq!(ack["type"], "ack", "{ack}");
    ack
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
