//! The end of a server that is told to end: nobody loses anything, and it doesn't take long.

use futures_util::stream;
use integration_tests::people::channel;
use integration_tests::server::command;
use integration_tests::{Person, Server, Ws, eventually, within};
use lakechat_client::Event;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Error;

use crate::MODE;

/// Under `nohup` this process ignores SIGHUP, and so do the servers that it starts.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.expect("a mask").trim(), 16);
    mask.expect("hex digits") & 1 == 1
}

#[tokio::test]
async fn sessions_are_told_to_come_back_and_the_exit_code_is_0() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        if signal == Signal::HUP && ignores_hangups() {
            continue;
        }
        let mut server = Server::start(MODE).await;
        let ann = Person::register(&server, "ann").await;
        let mut ws = ann.joined(&server, "general").await;
        ws.say("general", "a-1", "before the end").await;
        server.signal(signal);
        let closed = ws.closed().await;
        assert_eq!(closed.code, Some(4001));
        let closing = closed.closing.expect("it is announced");
        assert_eq!(
            (&closing["code"], &closing["reason"]),
            (&json!(4001), &json!("server_shutdown"))
        );
        let after = closing["reconnect_after_ms"].as_u64().expect("a time");
        assert!(after <= 10_000, "{after}");
        assert_eq!(server.ended().await.code(), Some(0));
        assert!(server.log().iter().any(|line| line.contains("drained")));
        server.restart().await;
        assert_eq!(ann.history(&server, "general").await.len(), 1);
    }
}

#[tokio::test]
async fn socket_before_its_hello_is_told_to_come_back() {
    let mut server = Server::start(MODE).await;
    let mut ws = Ws::bare(server.address()).await;
    server.signal(Signal::TERM);
    // Without its hello it would be closed as unauthenticated, ten seconds later.
    assert_eq!(ws.closed().await.code, Some(4001));
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn reconnects_are_spread() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut sessions = Vec::new();
    for _ in 0..40 {
        sessions.push(ann.connect(&server).await);
    }
    server.signal(Signal::TERM);
    let mut waits = Vec::new();
    for mut ws in sessions {
        let closing = ws.closed().await.closing.expect("it is announced");
        waits.push(closing["reconnect_after_ms"].as_u64().expect("a time"));
    }
    assert_eq!(server.ended().await.code(), Some(0));
    waits.sort_unstable();
    assert!(waits[0] < 3_000 && waits[39] > 7_000, "{waits:?}");
}

/// An upload that goes on for as long as the test holds its other end.
async fn long_upload(
    server: &Server,
    person: &Person,
) -> (
    mpsc::Sender<()>,
    tokio::task::JoinHandle<Result<u64, String>>,
) {
    const CHUNK: usize = 200_000;
    let (more, wanted) = mpsc::channel::<()>(1);
    let chunks = stream::unfold(wanted, async |mut wanted| {
        wanted.recv().await?;
        Some((
            Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b'x'; CHUNK])),
            wanted,
        ))
    });
    let (api, token) = (person.api().clone(), person.token().to_owned());
    let uploading = tokio::spawn(async move {
        let size = 2 * CHUNK as u64;
        let file = api.upload(&token, "long", size, Box::pin(chunks)).await;
        file.map(|f| f.size).map_err(|e| e.to_string())
    });
    more.send(()).await.expect("it uploads");
    eventually("it has begun", async || {
        (!server.stored_files().is_empty()).then_some(())
    })
    .await;
    (more, uploading)
}

#[tokio::test]
async fn upload_under_way_is_finished_before_the_end() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let (more, uploading) = long_upload(&server, &ann).await;
    server.signal(Signal::TERM);
    eventually("it says that it is not ready", async || {
        let ready = server.http().get("/readyz", "").await;
        (ready.status.as_u16() == 503).then_some(())
    })
    .await;
    more.send(()).await.expect("it uploads on");
    drop(more);
    assert_eq!(within(uploading).await.expect("no panic"), Ok(400_000));
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn draining_server_answers_probes_and_refuses_the_rest() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let (more, uploading) = long_upload(&server, &ann).await;
    server.signal(Signal::TERM);
    let http = server.http();
    let ready = eventually("it says that it is not ready", async || {
        let ready = http.get("/readyz", "").await;
        (ready.status.as_u16() == 503).then_some(ready)
    })
    .await;
    assert_eq!(ready.json()["ready"], false);
    assert_eq!(ready.json()["parts"]["broker"]["state"], "up");
    http.get("/healthz", "").await.expect(200);
    http.get("/metrics", "").await.expect(200);
    let refused = http.get("/me", ann.token()).await.expect(503);
    assert_eq!(refused.code(), "shutting_down");
    assert_eq!(refused.header("connection"), Some("close"));
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let upgrade = Ws::try_open(server.address(), &[]).await;
    match *upgrade.err().expect("no session begins in a drain") {
        Error::Http(answer) => assert_eq!(answer.status().as_u16(), 503),
        other => panic!("{other}"),
    }
    more.send(()).await.expect("it uploads on");
    drop(more);
    assert_eq!(within(uploading).await.expect("no panic"), Ok(400_000));
    assert_eq!(server.ended().await.code(), Some(0));
}

/// Exit code and what it printed on both outputs.
async fn health(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut asked = command(&[&["health"], args].concat());
    let output = within(asked.envs(env.iter().copied()).output()).await;
    let output = output.expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test]
async fn health_command_tells_a_ready_server_from_one_that_drains_or_is_gone() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let address = server.address().to_string();
    let (code, said) = health(&[], &[("LAKECHAT_LISTEN", &address)]).await;
    assert!(said.contains(r#""ready":true"#), "{said}");
    assert_eq!(code, Some(0));

    let (more, uploading) = long_upload(&server, &ann).await;
    server.signal(Signal::TERM);
    let url = server.url();
    let said = eventually("it says that it is not ready", async || {
        let (code, said) = health(&["--url", &url], &[]).await;
        (code == Some(1)).then_some(said)
    })
    .await;
    assert!(said.contains("is not ready (503"), "{said}");
    drop(more);
    let _ = within(uploading).await;
    server.ended().await;
    let (code, said) = health(&["--url", &url], &[]).await;
    assert!(said.contains("does not answer"), "{said}");
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn second_signal_ends_at_once() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let (_more, uploading) = long_upload(&server, &ann).await;
    server.signal(Signal::TERM);
    eventually("it drains", async || {
        server
            .log()
            .iter()
            .any(|line| line.contains("draining"))
            .then_some(())
    })
    .await;
    let began = std::time::Instant::now();
    server.signal(Signal::TERM);
    server.ended().await;
    assert!(began.elapsed().as_secs() < 3, "{:?}", began.elapsed());
    within(uploading)
        .await
        .expect("no panic")
        .expect_err("it was cut");
    assert!(
        server.files_in("files").is_empty(),
        "a half file is never visible"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconnecting_client_loses_nothing_over_a_restart() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let (session, mut events) = ann.session();
    session
        .join(channel("general"), None)
        .await
        .expect("it lives");
    let mut sent = Vec::new();
    for n in 0..20 {
        let text = n.to_string();
        session
            .send(channel("general"), text.clone())
            .await
            .expect("it lives");
        sent.push(text);
        if n == 10 {
            assert_eq!(server.stop().await.code(), Some(0));
            server.restart().await;
        }
    }
    let mut acked = 0;
    while acked < sent.len() {
        match within(events.next()).await.expect("it lives") {
            Event::Acked { .. } => acked += 1,
            Event::Refused { refusal, .. } => panic!("{refusal}"),
            Event::Stopped(stop) => panic!("{stop}"),
            _ => {}
        }
    }
    let history = ann.history(&server, "general").await;
    let stored: Vec<_> = history
        .iter()
        .map(|m| m["text"].as_str().expect("a text"))
        .collect();
    assert_eq!(stored, sent);
}

#[tokio::test]
async fn session_that_arrives_in_the_drain_is_told_to_come_back() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut early = ann.connect(&server).await;
    let mut late = integration_tests::Ws::bare(server.address()).await;
    server.signal(Signal::TERM);
    assert_eq!(early.closed().await.code, Some(4001));
    late.send(json!({"type": "hello", "token": ann.token()}))
        .await;
    assert_eq!(late.closed().await.code, Some(4001));
    assert_eq!(server.ended().await.code(), Some(0));
}
