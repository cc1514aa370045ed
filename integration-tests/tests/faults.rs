//! The processes that a cluster stands on are killed in the midst of traffic and started again, one
//! by one, and lakechat with them. It is the only test of its file: nobody else may need the services meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration_tests::cluster::Cluster;
use integration_tests::traffic::Traffic;
use integration_tests::{Person, Server, eventually, stack};
use tokio::process::Command;
use tokio::time::timeout;

/// Without the DataNodes: `stack start` waits until every byte has both copies again, and that comes
/// only when nobody writes.
const PROCESSES: [&str; 7] = [
    "redis",
    "thrift",
    "namenode",
    "regionserver",
    "master",
    "kafka",
    "zookeeper",
];

const SENDERS: usize = 4;

/// Longer than any of them takes to come back on a slow machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// How often, and for how long, what has ended is started again.
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_secs(20);

async fn stack(words: &[&str]) -> Result<()> {
    let output = Command::new(stack::script()).args(words).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "stack {words:?}: {said}");
    Ok(())
}

/// Until every part is up and history has nearly all that was said. HBase's own processes end when
/// HDFS is away for long; whoever runs them starts them again, and so does this.
async fn recovered(server: &Server) -> Result<()> {
    let all_up = async || {
        let ready = server.http().get("/readyz", "").await.json();
        let parts = ready["parts"].as_object()?;
        let up = parts.values().all(|part| part["state"] == "up");
        (up && ready["parts"]["archiver"]["lag_records"].as_u64()? < 5_000).then_some(())
    };
    for _ in 0..ROUNDS {
        stack(&["up"]).await?;
        if timeout(ROUND, eventually("all parts are up", all_up))
            .await
            .is_ok()
        {
            return Ok(());
        }
    }
    anyhow::bail!(
        "not all parts are up: {:?}",
        server.http().get("/readyz", "").await.json()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_process_loses_nothing_acked_and_doubles_nothing() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let bob = Person::register(&server, "bob").await;
    let mut traffic = Traffic::begin(&server, SENDERS, Duration::from_millis(5)).await;
    for process in PROCESSES {
        traffic.acked_more(200).await;
        stack(&["kill", process]).await?;
        let killed = Instant::now();
        stack(&["start", process]).await?;
        let started = killed.elapsed();
        let acked = timeout(PATIENCE, traffic.acked_more(200)).await;
        acked.with_context(|| format!("no acks after {process} was back"))?;
        let acked = killed.elapsed();
        recovered(&server).await?;
        let file = server
            .http()
            .upload(bob.token(), process, vec![7; 100_000])
            .await;
        ensure!(
            file.status == 201,
            "upload after {process}: {}",
            file.status
        );
        println!(
            "{process}: answers after {:.1} s, acks go on after {:.1} s, all parts are up after {:.1} s",
            started.as_secs_f64(),
            acked.as_secs_f64(),
            killed.elapsed().as_secs_f64()
        );
    }
    server.kill_9().await;
    let killed = Instant::now();
    server.restart().await;
    traffic.acked_more(200).await;
    println!(
        "lakechat: acks go on after {:.1} s",
        killed.elapsed().as_secs_f64()
    );
    let settled = timeout(PATIENCE, traffic.settle(&server)).await;
    println!(
        "{} messages, each once",
        settled.context("not all is answered")?
    );
    Ok(())
}
