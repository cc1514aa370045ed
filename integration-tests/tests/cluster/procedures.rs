//! What docs/operations.md tells operators to do, done.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration_tests::bytes::{made, sha256, sha256_of};
use integration_tests::cluster::Cluster;
use integration_tests::contract::eventually;
use integration_tests::hbase::{create, drop_table};
use integration_tests::people::PASSWORD;
use integration_tests::{Http, Person, Server, audit, on_hdfs, stack};
use lakechat_cluster::hbase::schema;
use reqwest::Method;
use serde_json::{Value, json};

const LARGE: u64 = 200_000;

/// Says texts, and returns when history has them.
async fn say(server: &Server, who: &Person, texts: std::ops::Range<usize>) {
    let mut ws = who.joined(server, "general").await;
    for n in texts {
        let frame = json!({"type": "send", "channel": "general", "text": n.to_string(),
            "client_msg_id": format!("m-{n}"), "ack": "persisted"});
        let ack = ws.ask(frame).await;
        assert_eq!(ack["level"], "persisted", "{ack}");
    }
    ws.close().await;
}

async fn texts(server: &Server, who: &Person) -> Vec<String> {
    let said = who.history(server, "general").await;
    let text = |message: &Value| message["text"].as_str().expect("a text").to_owned();
    said.iter().map(text).collect()
}

fn numbers(upto: usize) -> Vec<String> {
    (0..upto).map(|n| n.to_string()).collect()
}

/// Logs in again: a restored table may lack the login.
async fn token(http: &Http, name: &str) -> Result<String> {
    let body = json!({"username": name, "password": PASSWORD});
    let login = http.open(Method::POST, "/login", body).await.expect(200);
    let token = login.json()["token"].as_str().map(str::to_owned);
    token.context("a token")
}

fn table_names(cluster: &Cluster) -> Vec<String> {
    let tables = schema::tables(&cluster.tables.settings);
    tables.into_iter().map(|(name, _)| name).collect()
}

/// The statements for all tables, `meta` first: marks that are older than the rows only make the
/// archiver write some rows again.
fn statements(cluster: &Cluster, statement: impl Fn(&str, &str) -> String) -> String {
    let mut names = table_names(cluster);
    names.sort_by_key(|name| !name.ends_with("meta"));
    let lines = names.iter().map(|name| {
        let snapshot = name.replace(':', "-") + "-backup";
        statement(name, &snapshot) + "\n"
    });
    lines.collect()
}

/// What the statements of `lakechat schema print` do, in a tenth of the shell's time.
fn make_again(cluster: &Cluster, table: &str) -> Result<()> {
    let tables = schema::tables(&cluster.tables.settings);
    let families = tables.iter().find(|(name, _)| name == table);
    create(table, families.context("it is one of them")?.1)
}

async fn adopts(cluster: &Cluster) -> Result<()> {
    let shown = cluster.command(&["log", "adopt"]).await?;
    ensure!(shown.status.code() == Some(1), "{shown:?}");
    let adopted = cluster.command(&["log", "adopt", "--yes"]).await?;
    ensure!(adopted.status.success(), "{adopted:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 40 s, of which the HBase shell most"]
async fn backup_of_a_cluster_is_restored_and_later_messages_come_from_the_log() -> Result<()> {
    let cluster: Arc<Cluster> = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    say(&server, &ann, 0..20).await;
    let file = ann.api().upload(ann.token(), "plan", LARGE, made(7, LARGE));
    let file = file.await?.id;

    // The backup, while the server runs: tables, then files.
    let backup = format!("{}-backup", cluster.root.0);
    let snapshots = statements(&cluster, |table, name| {
        format!("snapshot '{table}', '{name}'")
    });
    let printed = stack::hbase_shell(&snapshots)?;
    ensure!(!printed.contains("ERROR"), "{printed}");
    stack::run(&["fs", "-cp", &cluster.root.0, &backup])?;
    say(&server, &ann, 20..30).await;
    let later = Person::register(&server, "later").await;
    say(&server, &later, 30..35).await;
    assert!(server.stop().await.success());

    // The loss.
    for table in table_names(&cluster) {
        drop_table(&table)?;
    }
    let hdfs = on_hdfs::client()?;
    hdfs.delete(&cluster.root.0, true).await?;

    // The restoration.
    let clones = statements(&cluster, |table, name| {
        format!("clone_snapshot '{name}', '{table}'\ndelete_snapshot '{name}'")
    });
    let printed = stack::hbase_shell(&clones)?;
    ensure!(!printed.contains("ERROR"), "{printed}");
    stack::run(&["fs", "-mv", &backup, &cluster.root.0])?;
    // The log is the same, and no sweep has come in between.
    let adopted = cluster.command(&["log", "adopt", "--yes"]).await?;
    let told = String::from_utf8_lossy(&adopted.stderr);
    ensure!(told.contains("there is nothing to adopt"), "{adopted:?}");
    server.restart().await;

    let token = token(server.http(), "ann").await?;
    eventually("all is there, what came later too", async || {
        let page = "/channels/general/messages?limit=200";
        let page = server.http().get(page, &token).await.expect(200).json();
        let said = page["messages"].as_array().context("messages")?.clone();
        Ok(said.len() == 35)
    })
    .await?;
    assert_eq!(texts(&server, &ann).await, numbers(35));
    let got = server
        .http()
        .get(&format!("/download/{file}"), &token)
        .await;
    let bytes: Vec<u8> = got.expect(200).body;
    assert_eq!(sha256(&bytes), sha256_of(7, LARGE).await);
    // What is only in tables is as it was at the time of the backup.
    let body = json!({"username": "later", "password": PASSWORD});
    server
        .http()
        .open(Method::POST, "/login", body)
        .await
        .expect(401);
    eventually("the audit finds nothing", async || {
        let audited = audit::cluster(&cluster, &[]).await?;
        Ok(audited.code == 0 && audited.report["messages"]["messages"] == 35)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_table_of_messages_is_written_again_from_the_log() -> Result<()> {
    let cluster: Arc<Cluster> = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    say(&server, &ann, 0..20).await;
    assert!(server.stop().await.success());
    let messages = format!("{}messages", cluster.tables.name_prefix());
    drop_table(&messages)?;

    let missing = cluster.command(&["schema", "check"]).await?;
    ensure!(missing.status.code() == Some(1), "{missing:?}");
    make_again(&cluster, &messages)?;
    audit::cluster(&cluster, &["--repair"]).await?.repaired()?;
    audit::cluster(&cluster, &[]).await?.is_clean(20)?;

    server.restart().await;
    assert_eq!(texts(&server, &ann).await, numbers(20));
    say(&server, &ann, 20..25).await;
    assert_eq!(texts(&server, &ann).await, numbers(25));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_table_of_marks_is_made_anew_and_the_log_is_archived_again() -> Result<()> {
    let cluster: Arc<Cluster> = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    say(&server, &ann, 0..20).await;
    let before = ann.history(&server, "general").await;
    assert!(server.stop().await.success());
    let meta = format!("{}meta", cluster.tables.name_prefix());
    drop_table(&meta)?;
    make_again(&cluster, &meta)?;

    adopts(&cluster).await?;
    server.restart().await;
    assert_eq!(ann.history(&server, "general").await, before);
    say(&server, &ann, 20..25).await;
    assert_eq!(texts(&server, &ann).await, numbers(25));
    eventually("the audit finds nothing", async || {
        let audited = audit::cluster(&cluster, &[]).await?;
        Ok(audited.code == 0 && audited.report["messages"]["messages"] == 25)
    })
    .await
}
