//! Starts of a cluster's server that are special to clusters.

use anyhow::{Context, Result};
use integration_tests::cluster::Cluster;
use integration_tests::on_kafka::delete_below;
use integration_tests::server::command;
use integration_tests::{Person, Server, eventually, stack, within};
use lakechat_core::domain::Partition;

#[tokio::test]
async fn server_starts_where_retention_has_taken_all_records_of_a_partition() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let first = ws.say("general", "c-1", "an old word").await;
    eventually("it is archived", async || {
        let ready = server.http().get("/readyz", "").await.json();
        (ready["parts"]["archiver"]["lag_records"] == 0).then_some(())
    })
    .await;
    assert_eq!(server.stop().await.code(), Some(0));

    let topic = cluster.topics.messages();
    let (partition, end) = end_of_the_written_partition(&topic)?;
    delete_below(&topic, partition, end).await?;
    server.restart().await;
    let mut ws = ann.joined(&server, "general").await;
    let second = ws.say("general", "c-2", "a new one").await;
    let said = ann.history(&server, "general").await;
    let ids: Vec<_> = said.iter().map(|message| &message["id"]).collect();
    assert_eq!(ids, [&first["id"], &second["id"]]);
    Ok(())
}

/// By Kafka's own tool, whose lines are `topic:partition:end`.
fn end_of_the_written_partition(topic: &str) -> Result<(Partition, u64)> {
    let printed = String::from_utf8(stack::run(&["kafka", "get-offsets", "--topic", topic])?)?;
    let written = printed.lines().find(|line| !line.ends_with(":0"));
    let mut fields = written.context("something was written")?.rsplit(':');
    let mut number = || fields.next().and_then(|field| field.parse::<u64>().ok());
    let (end, partition) = (number().context("an end")?, number().context("a number")?);
    Ok((Partition(u16::try_from(partition)?), end))
}

#[tokio::test]
async fn server_of_a_cluster_makes_no_signing_key_of_its_own() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    let serve = command(&["serve", "--listen", "127.0.0.1:0"])
        .envs(cluster.env())
        .env("LAKECHAT_AUTH__SECRET_FILE", &key)
        .output();
    let output = within(serve).await?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let told = format!("the signing key {} (auth.secret_file)", key.display());
    assert!(said.contains(&told), "{said}");
    assert!(!key.exists());
    Ok(())
}
