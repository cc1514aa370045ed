//! HBase's Thrift server under SIGSTOP: it takes connections and answers nothing.

use std::time::{Duration, Instant};

use integration_tests::alone::Alone;
use integration_tests::people::PASSWORD;
use integration_tests::{Person, Server, stack};
use reqwest::Method;
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(2);
const LOGINS: u32 = 20;

/// The Thrift server stands still as long as this lives.
struct Paused;

impl Paused {
    fn begin() -> Paused {
        stack::run(&["pause", "thrift"]).expect("it runs");
        Paused
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Err(error) = stack::run(&["resume", "thrift"]) {
            eprintln!("thrift stands still: {error:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hung_thrift_server_is_told_at_once_and_what_was_said_meanwhile_is_stored() {
    let alone = Alone::fresh().await.expect("a part of the stack");
    let timeout = TIMEOUT.as_millis().to_string();
    let server = Server::of(&alone.cluster, &[("LAKECHAT_HBASE__TIMEOUT_MS", &timeout)]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    ws.say("general", "before", "before").await;

    let paused = Paused::begin();
    for part in ["history", "directory"] {
        let reason = server.part_says(part, "retrying until it does").await;
        assert!(reason.contains("127.0.0.1:9090 did not answer"), "{reason}");
    }
    let began = Instant::now();
    for _ in 0..LOGINS {
        let body = json!({"username": "ann", "password": PASSWORD});
        let login = server.http().open(Method::POST, "/login", body).await;
        assert_eq!(login.header("retry-after"), Some("1"), "{login:?}");
        assert_eq!(login.expect(503).code(), "directory_unavailable");
    }
    assert!(
        began.elapsed() < LOGINS * TIMEOUT / 4,
        "{:?}",
        began.elapsed()
    );
    let (_, ready) = server.part_is("history", "down").await;
    assert!(ready, "who is connected goes on");
    ws.say("general", "meanwhile", "meanwhile").await;
    ws.send(
        json!({"type": "send", "ref": 77, "channel": "general", "client_msg_id": "stored",
        "text": "stored", "ack": "persisted"}),
    )
    .await;

    drop(paused);
    let began = Instant::now();
    let ack = ws.until(|frame| frame["ref"] == 77).await;
    assert_eq!(ack["level"], "persisted", "{ack}");
    eprintln!("stored {:?} after Thrift answers again", began.elapsed());
    server.part_is("history", "up").await;
    server.part_is("directory", "up").await;
    let messages = ann.history(&server, "general").await;
    let texts: Vec<_> = messages.iter().map(|m| m["text"].clone()).collect();
    assert_eq!(texts, ["before", "meanwhile", "stored"]);
}
