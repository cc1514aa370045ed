//! A Kafka of three brokers: leaders move in the midst of traffic, and one broker is lost for good.

use std::time::Duration;

use anyhow::{Context, Result};
use integration_tests::alone::Alone;
use integration_tests::traffic::Traffic;
use integration_tests::{Server, eventually, stack};
use tokio::time::{Instant, timeout};

use crate::scene::PATIENCE;

const SENDERS: usize = 4;
const PACE: Duration = Duration::from_millis(20);

/// Acks that show that sending goes on.
const ENOUGH: u64 = 100;

/// How far the archive may be behind what was just sent.
const LAG_RECORDS: u64 = 500;

async fn recovered(server: &Server) {
    eventually(
        "all parts are up and the archive has caught up",
        async || {
            let ready = server.http().get("/readyz", "").await.json();
            let parts = ready["parts"].as_object()?;
            let up = parts.values().all(|part| part["state"] == "up");
            let lag = parts["archiver"]["lag_records"].as_u64()?;
            (up && lag < LAG_RECORDS).then_some(())
        },
    )
    .await;
}

async fn acks_go_on(traffic: &mut Traffic, after: &str) -> Result<()> {
    let acked = timeout(PATIENCE, traffic.acked_more(ENOUGH)).await;
    acked.with_context(|| format!("no acks after {after} was back"))
}

/// The leaders of this broker's partitions move while it is away, and it is in sync again at the end.
async fn moves(end: &str, broker: &str, alone: &Alone, traffic: &mut Traffic) -> Result<()> {
    let began = Instant::now();
    stack::verb(&[end, broker]).await?;
    acks_go_on(traffic, broker).await?;
    let paused = traffic.longest_pause(began);
    stack::verb(&["start", broker]).await?;
    alone.brokers_in_sync(3).await?;
    acks_go_on(traffic, broker).await?;
    println!("{end} {broker}: acks paused for {paused:.1?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_come_and_go_and_one_lost_for_good_lose_nothing() -> Result<()> {
    let alone = Alone::with_three_brokers().await?;
    let mut servers = [
        Server::of(&alone.cluster, &[]).await,
        Server::of(&alone.cluster, &[]).await,
    ];
    let unsafe_topic = |line: &String| line.contains("replica") || line.contains("acked when one");
    assert!(
        !servers[0].log().iter().any(unsafe_topic),
        "three copies are enough"
    );
    let mut traffic = Traffic::begin(&[&servers[0], &servers[1]], SENDERS, PACE).await;
    acks_go_on(&mut traffic, "the start").await?;
    moves("kill", "kafka2", &alone, &mut traffic).await?;
    moves("stop", "kafka3", &alone, &mut traffic).await?;

    // For good, and it is the first that servers ask.
    stack::verb(&["kill", "kafka1"]).await?;
    acks_go_on(&mut traffic, "the loss of kafka1").await?;
    servers[0].kill_9().await;
    servers[0].restart().await;
    acks_go_on(&mut traffic, "lakechat").await?;
    for server in &servers {
        recovered(server).await;
    }
    timeout(PATIENCE, traffic.settle(&[&servers[0], &servers[1]])).await?;
    Ok(())
}
