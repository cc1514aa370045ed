//! Reads that wait for HBase are shared fairly among users.

use std::sync::Arc;

use anyhow::Result;
use futures_util::future::join_all;
use integration_tests::cluster::Cluster;
use integration_tests::people::PASSWORD;
use integration_tests::ws::send_frame;
use integration_tests::{Person, Server, within};
use reqwest::{Method, StatusCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

/// Pages that one user asks for at the same time.
const PAGES: usize = 1_200;

/// Messages of a page.
const MESSAGES: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_pages_of_one_user_keep_nobody_from_logging_in() -> Result<()> {
    raise_open_files()?;
    let cluster = Cluster::fresh().await?;
    // Only HBase is to limit the pages.
    let env = [
        ("LAKECHAT_LIMITS__LOGINS_PER_ADDRESS", "0"),
        ("LAKECHAT_FILES__TRANSFERS", "2000"),
    ];
    let mut server = Server::of(&cluster, &env).await;
    let ann = Person::register(&server, "ann").await;
    Person::register(&server, "bob").await;
    let mut ws = ann.joined(&server, "general").await;
    for n in 0..MESSAGES {
        let mut frame = send_frame("general", &format!("a-{n}"), "hi");
        frame["ack"] = json!("persisted");
        ws.ask(frame).await;
    }
    // What was stored before a start is read from HBase.
    server.kill_9().await;
    server.restart().await;

    let (http, token) = (server.http().clone(), Arc::<str>::from(ann.token()));
    let page = |_| {
        let (http, token) = (http.clone(), token.clone());
        let path = format!("/channels/general/messages?limit={MESSAGES}");
        tokio::spawn(async move { http.get(&path, &token).await })
    };
    let pages: Vec<_> = (0..PAGES).map(page).collect();
    let credentials = json!({"username": "bob", "password": PASSWORD});
    let mut logins = 0;
    while logins == 0 || !pages.iter().all(|page| page.is_finished()) {
        let login = server
            .http()
            .open(Method::POST, "/login", credentials.clone());
        let token = within(login).await.expect(200).json()["token"].clone();
        let me = server.http().get("/me", token.as_str().expect("text"));
        within(me).await.expect(200);
        logins += 1;
    }
    for page in within(join_all(pages)).await {
        let page = page?;
        if page.status != StatusCode::OK {
            // More of one user's pages than may wait.
            assert_eq!(page.expect(503).code(), "history_unavailable");
        }
    }
    Ok(())
}

/// By default a process may have fewer connections than this test opens.
fn raise_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}
