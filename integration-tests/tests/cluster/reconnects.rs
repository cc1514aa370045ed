//! The users of a server that dies connect to another one, all at once.

use std::time::Instant;

use futures_util::future::join_all;
use integration_tests::cluster::Cluster;
use integration_tests::{Person, Server, Ws, eventually, within};

const USERS: usize = 60;
const CHANNELS: usize = 8;

/// Calls per second that a server makes whoever is connected: it reads the marks, and probes its parts.
const UPKEEP: u64 = 10;

fn channel(n: usize) -> String {
    format!("c{n}")
}

async fn join_all_channels(person: &Person, server: &Server) -> Ws {
    let mut ws = person.connect(server).await;
    for n in 0..CHANNELS {
        ws.join(&channel(n), None).await;
    }
    ws
}

fn names(ws: &Ws) -> Vec<String> {
    let channels = ws.welcome["channels"].as_array().expect("channels");
    let name = |channel: &serde_json::Value| channel["name"].as_str().map(str::to_owned);
    channels.iter().filter_map(name).collect()
}

/// The reading calls to HBase so far.
async fn reads(server: &Server) -> u64 {
    let metrics = server.http().get("/metrics", "").await.expect(200).body;
    let metrics = String::from_utf8(metrics).expect("text");
    let count = |line: &str| {
        let call = line.strip_prefix("lakechat_hbase_call_seconds_count{call=\"")?;
        let reads = call.starts_with("get") || call.starts_with("scanner");
        let count = call.rsplit(' ').next()?.parse::<u64>().ok()?;
        reads.then_some(count)
    };
    metrics.lines().filter_map(count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_a_server_that_died_are_back_with_a_call_to_hbase_each() {
    let cluster = Cluster::fresh().await.expect("a part of the services");
    let mut a = Server::of(&cluster, &[]).await;
    let b = Server::of(&cluster, &[]).await;
    let mut people = Vec::new();
    for n in 0..USERS {
        people.push(Person::register(&a, &format!("u{n}")).await);
    }
    let keeper = Person::register(&b, "keeper").await;
    for n in 0..CHANNELS {
        keeper.create_channel(&b, &channel(n)).await;
    }
    // Whoever stays keeps the channels loaded.
    let _kept = join_all_channels(&keeper, &b).await;
    let open = join_all(people.iter().map(|person| join_all_channels(person, &a))).await;
    eventually("all joins are stored", async || {
        let lag = b.http().metric("lakechat_archive_lag_records").await;
        (lag == Some(0)).then_some(())
    })
    .await;
    a.kill_9().await;
    drop(open);

    let (before, began) = (reads(&b).await, Instant::now());
    let back = join_all(people.iter().map(|person| join_all_channels(person, &b)));
    let back = within(back).await;
    let seconds = began.elapsed().as_secs() + 1;
    let made = reads(&b).await - before;
    let expected: Vec<_> = (0..CHANNELS).map(channel).collect();
    for ws in &back {
        assert_eq!(names(ws), expected);
    }
    let users = USERS as u64;
    assert!(
        made <= users + seconds * UPKEEP,
        "{made} calls in {seconds} s for {users} users"
    );
}
