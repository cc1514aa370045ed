//! SIGKILL of servers while they write the archive: what is in it does not tell.
//!
//! Every run prints its seed; `TEST_SEED=<n>` kills after the same pauses.

use std::time::Duration;

use anyhow::Result;
use integration_tests::cluster::Cluster;
use integration_tests::traffic::Traffic;
use integration_tests::{Server, archive, eventually, within};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

const KILLS: usize = 10;
const SERVERS: usize = 3;
const SENDERS: usize = 6;
const PACE: Duration = Duration::from_millis(15);

/// Whether it has stored something since its start and has something to store.
async fn is_at_it(server: &Server) -> Option<bool> {
    let batches = server.http().metric("lakechat_archive_batch_rows_count");
    let claims = server.http().metric("lakechat_archive_claims");
    Some(batches.await? > 0 && claims.await? > 0)
}

/// Waits until somebody stores what it has claimed. All are asked in turn, from one of them on.
async fn who_is_at_it(servers: &[Server], from: usize) -> usize {
    eventually("somebody stores what it has claimed", async || {
        for n in 0..servers.len() {
            let asked = (from + n) % servers.len();
            if is_at_it(&servers[asked]).await == Some(true) {
                return Some(asked);
            }
        }
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_of_those_who_archive_change_nothing_in_the_archive() -> Result<()> {
    let seed = match std::env::var("TEST_SEED") {
        Ok(seed) => seed.parse().expect("TEST_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("TEST_SEED={seed}");
    let began = Instant::now();
    let mut random = StdRng::seed_from_u64(seed);
    let cluster = Cluster::fresh().await?;
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(Server::of(&cluster, &[]).await);
    }
    let all: Vec<_> = servers.iter().collect();
    let traffic = Traffic::begin(&all, SENDERS, PACE).await;
    for _ in 0..KILLS {
        let from = random.random_range(0..SERVERS);
        let victim = who_is_at_it(&servers, from).await;
        let victim = &mut servers[victim];
        let moment = random.random_range(0..1_500);
        // The moment of a kill is what this test varies; nothing tells it.
        tokio::time::sleep(Duration::from_millis(moment)).await;
        victim.kill_9().await;
        victim.restart().await;
    }
    println!("{KILLS} kills within {:.1?}", began.elapsed());
    let all: Vec<_> = servers.iter().collect();
    let messages = within(traffic.settle(&all)).await;
    println!("settled after {:.1?}", began.elapsed());
    for server in all {
        archive::is_complete(server).await;
    }
    assert_eq!(archive::rows_are_the_log(&cluster)?, messages);
    println!(
        "{messages} messages: rows are the log, after {:.1?}",
        began.elapsed()
    );
    Ok(())
}
