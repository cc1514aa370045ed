//! Offsets of the log's topic that hold no record: they hold nothing up.

use anyhow::Result;
use integration_tests::cluster::Cluster;
use integration_tests::on_kafka::write_transaction;
use integration_tests::{Person, Server};
use lakechat_core::domain::Partition;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_and_reads_go_on_behind_the_markers_of_a_transaction() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    ws.say("general", "a", "before").await;
    let all: Vec<_> = (0..16).map(Partition).collect();
    write_transaction(&cluster.topics.messages(), &all).await?;

    // It reads the ends of all partitions, and waits until this server has read up to them.
    server.http().get("/me", ann.token()).await.expect(200);
    let ack = ws.say("general", "b", "after").await;
    assert_eq!(ack["type"], "ack", "{ack}");
    drop(ws);
    server.stop().await;
    server.restart().await;
    server.http().get("/me", ann.token()).await.expect(200);
    let mut ws = ann.joined(&server, "general").await;
    ws.say("general", "c", "again").await;
    let messages = ann.history(&server, "general").await;
    let texts: Vec<_> = messages.iter().map(|m| m["text"].clone()).collect();
    assert_eq!(texts, ["before", "after", "again"]);
    Ok(())
}
