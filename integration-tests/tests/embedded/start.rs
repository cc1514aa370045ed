//! A server that has not read its log yet: it listens, and says so.

use std::path::Path;
use std::process::{Command, Stdio};

use integration_tests::people::PASSWORD;
use integration_tests::{Person, Server, server, within};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::MODE;

/// A pipe in the place of the signing key: the start waits for its other end.
fn pipe(folder: &Path) -> String {
    let path = folder.join("key");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("coreutils have it").success());
    path.to_str().expect("a plain name").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_server_answers_probes_and_refuses_the_rest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = pipe(folder.path());
    let server = Server::starting(MODE, &[("LAKECHAT_AUTH__SECRET_FILE", &key)]).await;
    let http = server.http();
    http.get("/healthz", "").await.expect(200);
    http.get("/metrics", "").await.expect(200);
    let ready = http.get("/readyz", "").await.expect(503).json();
    assert_eq!(ready["ready"], false);
    for part in ["broker", "history", "directory", "files", "archiver"] {
        let part = &ready["parts"][part];
        assert_eq!(part["state"], "down", "{ready}");
        assert_eq!(part["reason"], "starting", "{ready}");
    }
    let body = json!({"username": "ann", "password": PASSWORD});
    let refused = http.open(Method::POST, "/register", body).await.expect(503);
    assert_eq!(refused.code(), "broker_unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    http.get("/nowhere", "").await.expect(404);

    let written = tokio::task::spawn_blocking(move || std::fs::write(key, [b'k'; 32]));
    within(written)
        .await
        .expect("no panic")
        .expect("it is read");
    server.ready().await;
    Person::register(&server, "ann").await;
}

#[tokio::test]
async fn server_that_others_can_reach_says_how_its_first_account_is_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = server::command(&["serve", "--listen", "0.0.0.0:0"]);
    command.arg("--data-dir").arg(folder.path());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it runs");
    let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let told = async {
        loop {
            let line = log.next_line().await.expect("UTF-8");
            let line = line.expect("it goes on");
            if line.contains("registration is closed") {
                return line;
            }
        }
    };
    let line = within(told).await;
    assert!(line.contains("lakechat admin create"), "{line}");
}
