//! Each process that a cluster stands on is killed in the midst of traffic and started again, and
//! lakechat with them.

use std::time::Duration;

use anyhow::{Context, Result};
use integration_tests::alone::Alone;
use integration_tests::traffic::Traffic;
use integration_tests::{Server, eventually, stack};
use tokio::time::{Instant, timeout};

const PROCESSES: [&str; 9] = [
    "redis",
    "thrift",
    "kafka",
    "datanode1",
    "namenode",
    "zookeeper",
    "master",
    "regionserver",
    "datanode2",
];

pub const SENDERS: usize = 4;
pub const PACE: Duration = Duration::from_millis(20);

/// Acks that show that sending goes on.
const ENOUGH: u64 = 100;

/// How far the archive may be behind what is just sent.
const LAG_RECORDS: u64 = 500;

/// Longer than any of them takes to come back on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub async fn recovered(server: &Server) {
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

/// With two copies nobody survives the loss of both.
async fn ready_to_lose(process: &str) -> Result<()> {
    if process.starts_with("datanode") {
        stack::verb(&["copies"]).await?;
    }
    Ok(())
}

pub async fn acks_go_on(traffic: &mut Traffic, after: &str) -> Result<()> {
    let acked = timeout(PATIENCE, traffic.acked_more(ENOUGH)).await;
    acked.with_context(|| format!("no acks after {after} was back"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_process_loses_nothing_acked_doubles_nothing_and_keeps_the_order() -> Result<()>
{
    let alone = Alone::fresh().await?;
    let mut server = Server::of(&alone.cluster, &[]).await;
    let mut traffic = Traffic::begin(&[&server], SENDERS, PACE).await;
    for process in PROCESSES {
        ready_to_lose(process).await?;
        acks_go_on(&mut traffic, "the one before").await?;
        let killed = Instant::now();
        stack::verb(&["kill", process]).await?;
        stack::verb(&["start", process]).await?;
        let started = killed.elapsed();
        acks_go_on(&mut traffic, process).await?;
        recovered(&server).await;
        let token = traffic.person().token();
        let file = server.http().upload(token, process, vec![7; 100_000]).await;
        file.expect(201);
        println!(
            "{process}: answers after {started:.1?}, acks paused for {:.1?}, all parts are up after {:.1?}",
            traffic.longest_pause(killed),
            killed.elapsed()
        );
    }
    let killed = Instant::now();
    server.kill_9().await;
    server.restart().await;
    acks_go_on(&mut traffic, "lakechat").await?;
    println!(
        "lakechat: acks paused for {:.1?}",
        traffic.longest_pause(killed)
    );
    let settled = timeout(PATIENCE, traffic.settle(&[&server])).await;
    println!(
        "{} messages, each once",
        settled.context("not all is answered")?
    );
    Ok(())
}
