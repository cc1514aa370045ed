//! Wrong hosts and ports: a server says which key of its configuration leads where, and what it found
//! there. It waits for log and history, and goes on without files and presence.

use std::sync::Arc;

use integration_tests::cluster::Cluster;
use integration_tests::{Person, Server};

/// Nobody listens there.
const CLOSED: &str = "127.0.0.1:1";
/// Services of another kind.
const KAFKA: &str = "127.0.0.1:9092";
const REDIS: &str = "127.0.0.1:6379";

async fn cluster() -> Arc<Cluster> {
    Cluster::fresh().await.expect("a part of the stack")
}

/// A server that waits for a part at an address, and says all of these words.
async fn waits(cluster: &Arc<Cluster>, part: &str, key: &str, address: &str, words: &[&str]) {
    let variable = format!("LAKECHAT_{}", key.replace('.', "__").to_uppercase());
    let env = [
        (variable.as_str(), address),
        ("LAKECHAT_HBASE__TIMEOUT_MS", "1000"),
    ];
    let mut server = Server::starting_of(cluster, &env).await;
    let at = format!("({key} = {address})");
    let first = server.part_says(part, &at).await;
    for words in words {
        let reason = server.part_says(part, words).await;
        assert!(reason.ends_with(&at), "{reason}");
    }
    server.http().get("/readyz", "").await.expect(503);
    let refused = server.http().get("/channels", "").await.expect(503);
    assert_eq!(refused.code(), "broker_unavailable");
    let told = server.log();
    let line = format!("waiting to start: {first}");
    assert!(told.iter().any(|l| l.contains(&line)), "{line}: {told:#?}");
    assert_eq!(server.stop().await.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_waits_for_kafka_and_says_where_it_looks() {
    let cluster = cluster().await;
    let (part, key) = ("broker", "kafka.brokers");
    let refused = ["no broker of Kafka answers", "Connection refused"];
    waits(&cluster, part, key, CLOSED, &refused).await;
    waits(&cluster, part, key, REDIS, &refused[..1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_waits_for_hbase_and_says_where_it_looks() {
    let cluster = cluster().await;
    let (part, key) = ("history", "hbase.thrift");
    let other = ["HBase's Thrift1 server"];
    waits(&cluster, part, key, CLOSED, &["Connection refused"]).await;
    waits(&cluster, part, key, KAFKA, &other).await;
    waits(&cluster, part, key, REDIS, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_goes_on_without_hdfs_and_says_where_it_looks() {
    let cluster = cluster().await;
    for (n, (address, words)) in [
        (CLOSED, "is a NameNode of HDFS there? (Connection refused"),
        (KAFKA, "is a NameNode of HDFS there?"),
        (REDIS, "no answer within 5 s"),
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("hdfs://{address}");
        let server = Server::of(&cluster, &[("LAKECHAT_HDFS__URL", &url)]).await;
        let reason = server.part_says("files", words).await;
        assert!(reason.ends_with(&format!("(hdfs.url = {url})")), "{reason}");
        let (_, ready) = server.part_is("files", "down").await;
        assert!(ready, "chat goes on");
        let ann = Person::register(&server, &format!("ann{n}")).await;
        let mut ws = ann.joined(&server, "general").await;
        ws.say("general", "x", "hi").await;
        let large = vec![0; 1 << 20];
        let refused = server.http().upload(ann.token(), "large", large).await;
        assert_eq!(refused.expect(503).code(), "storage_unavailable");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_goes_on_without_redis_and_says_where_it_looks() {
    let cluster = cluster().await;
    for (n, (address, words)) in [(CLOSED, "Connection refused"), (KAFKA, "is Redis at")]
        .into_iter()
        .enumerate()
    {
        let url = format!("redis://{address}");
        let server = Server::of(&cluster, &[("LAKECHAT_REDIS__URL", &url)]).await;
        let reason = server.part_says("presence", words).await;
        let at = format!("(redis.url = {address})");
        assert!(reason.ends_with(&at), "{reason}");
        let (_, ready) = server.part_is("presence", "degraded").await;
        assert!(ready, "chat goes on");
        let ann = Person::register(&server, &format!("ann{n}")).await;
        let mut ws = ann.joined(&server, "general").await;
        ws.say("general", "x", "hi").await;
    }
}
