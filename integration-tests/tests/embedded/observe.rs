//! What operators see: health, readiness, metrics, and a log without secrets.

use std::net::SocketAddr;

use integration_tests::http::send;
use integration_tests::people::PASSWORD;
use integration_tests::{Http, Person, Server, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::MODE;

#[tokio::test]
async fn health_and_readiness_have_their_shapes() {
    let server = Server::start(MODE).await;
    let health = server.http().get("/healthz", "").await.expect(200);
    assert_eq!(health.json(), json!({"status": "ok"}));
    let ready = server.http().get("/readyz", "").await.expect(200).json();
    assert_eq!(ready["ready"], true);
    for part in [
        "broker",
        "history",
        "directory",
        "files",
        "presence",
        "archiver",
    ] {
        assert_eq!(ready["parts"][part]["state"], "up", "{part}: {ready}");
    }
    assert!(
        ready["parts"]["archiver"]["lag_records"].is_u64(),
        "{ready}"
    );
}

#[tokio::test]
async fn files_are_down_while_their_folder_is_gone() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    for name in ["files", "tmp"] {
        let (folder, away) = (server.data_dir().join(name), server.data_dir().join("away"));
        std::fs::rename(&folder, &away).expect("a folder of ours");
        let (files, ready) = server.part_is("files", "down").await;
        let reason = files["reason"].as_str().expect("a reason");
        assert!(reason.contains("No such file"), "{files}");
        assert!(ready, "chat goes on");
        eventually("sessions are told", async || {
            let ws = ann.connect(&server).await;
            (ws.welcome["degraded"] == json!(["files"])).then_some(())
        })
        .await;
        std::fs::rename(&away, &folder).expect("a folder of ours");
        let (files, _) = server.part_is("files", "up").await;
        assert_eq!(files["reason"], Value::Null);
    }
}

/// A record that this release can't read stops the partition of its channel.
#[tokio::test]
async fn stopped_partition_leaves_the_server_ready_and_the_others_at_work() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    // One of these is in another partition.
    let others = ["one", "two", "three"];
    for name in others {
        ann.create_channel(&server, name).await;
    }
    ws.say("general", "before", "hi").await;
    drop(ws);
    assert!(server.stop().await.success());
    let newer = "INSERT INTO log SELECT (SELECT max(offset) + 1 FROM log), partition,
        (SELECT max(append_ms) FROM log), channel, '{\"v\":2}'
        FROM log WHERE channel = 'general' LIMIT 1";
    let shell = Command::new("sqlite3")
        .arg(server.database())
        .arg(newer)
        .status();
    assert!(shell.await.expect("sqlite3 is installed").success());

    server.restart().await;
    let (broker, ready) = server.part_is("broker", "degraded").await;
    assert!(ready, "{broker}");
    let reason = broker["reason"].as_str().expect("a reason");
    assert!(reason.contains("holds a record of version 2"), "{reason}");
    let me = server.http().get("/me", ann.token()).await.expect(200);
    let me = me.json();
    assert_eq!(me["degraded"], true, "{me}");
    assert_eq!(me["channels"].as_array().map(Vec::len), Some(4), "{me}");
    let mut ws = ann.connect(&server).await;
    assert_eq!(ws.welcome["degraded"], json!(["broker"]));
    let join = |channel: &str| json!({"type": "join", "channel": channel});
    assert_eq!(ws.refused(join("general")).await, "history_unavailable");
    let mut at_work = 0;
    for name in others {
        if ws.ask(join(name)).await["type"] == "joined" {
            ws.say(name, name, "hi").await;
            at_work += 1;
        }
    }
    assert!(at_work > 0, "the other partitions are at work");
}

#[tokio::test]
async fn directory_is_down_by_itself() {
    let server = Server::start(MODE).await;
    let shell = async |sql: &str| {
        let mut shell = Command::new("sqlite3");
        let shell = shell.args(["-cmd", ".timeout 10000"]);
        let ran = shell.arg(server.database()).arg(sql).status().await;
        assert!(ran.expect("sqlite3 is installed").success(), "{sql}");
    };
    shell("ALTER TABLE users RENAME TO away").await;
    let (_, ready) = server.part_is("directory", "down").await;
    assert!(ready, "who is in goes on");
    let login = json!({"username": "ann", "password": PASSWORD});
    let refused = server.http().open(Method::POST, "/login", login).await;
    assert_eq!(refused.expect(503).code(), "directory_unavailable");
    server.part_is("history", "up").await;
    shell("ALTER TABLE away RENAME TO users").await;
    server.part_is("directory", "up").await;
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    ws.say("general", "a-1", "hi").await;
    ws.refused(json!({"type": "sparkle"})).await;
    server
        .http()
        .upload(ann.token(), "f", "x")
        .await
        .expect(201);
    let metrics = server.http().get("/metrics", "").await.expect(200);
    let text = String::from_utf8(metrics.body).expect("text");
    let mut samples = 0;
    for line in text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        assert!(line.starts_with("lakechat_"), "{line}");
        let (_, value) = line.rsplit_once(' ').expect("a sample");
        value.parse::<f64>().expect("a number");
        samples += 1;
    }
    assert!(samples > 20, "{text}");
    // Send to ack, log to socket, archive lag, batches, files: each has its histogram.
    let histograms = text
        .lines()
        .filter(|l| l.starts_with("# TYPE") && l.ends_with("histogram"));
    assert!(histograms.count() >= 5, "{text}");
    assert!(!text.contains("\"ann\""), "people are no labels");
}

#[tokio::test]
async fn metrics_and_health_may_have_a_listener_that_clients_cannot_hold_up() {
    let settings = [
        ("LAKECHAT_SERVER__METRICS_LISTEN", "127.0.0.1:0"),
        ("LAKECHAT_SERVER__MAX_CONNECTIONS", "4"),
        ("LAKECHAT_SERVER__HEADER_TIMEOUT_MS", "600000"),
    ];
    let server = Server::with(MODE, &settings).await;
    server.http().get("/metrics", "").await.expect(404);
    server.http().get("/healthz", "").await.expect(200);
    let own = Http::new(eventually("it says where", async || metrics_address(&server)).await);
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(
            TcpStream::connect(server.address())
                .await
                .expect("the backlog has room"),
        );
    }
    eventually("all connections are taken", async || {
        // And the one that asks.
        let open = own.metric("lakechat_connections_open").await;
        open.filter(|open| *open == 5)
    })
    .await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        own.get(path, "").await.expect(200);
    }
    own.get("/me", "").await.expect(404);
}

fn metrics_address(server: &Server) -> Option<SocketAddr> {
    let log = server.log();
    let addresses = log
        .iter()
        .filter_map(|line| line.split_once("metrics_address="));
    let address = addresses.filter_map(|(_, rest)| rest.split_whitespace().next());
    address.filter_map(|address| address.parse().ok()).next()
}

#[tokio::test]
async fn log_has_no_tokens_passwords_or_texts() {
    let mut server = Server::with(MODE, &[("LAKECHAT_LOG", "trace")]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    ws.say("general", "a-1", "nobody's business").await;
    let renewed = ann.api().refresh(ann.refresh_token()).await.expect("once");
    server
        .http()
        .get("/me", renewed.token.expose())
        .await
        .expect(200);
    server.stop().await;
    let log = integration_tests::eventually("the last line is read", async || {
        let log = server.log().join("\n");
        log.contains("drained").then_some(log)
    });
    let log = log.await;
    let is_own_detail = |line: &str| line.contains(" DEBUG ") && line.contains(" lakechat");
    assert!(
        log.lines().any(is_own_detail),
        "own events are logged: {log}"
    );
    assert!(log.contains("/register"), "there is an access log: {log}");
    for secret in [
        ann.token(),
        ann.refresh_token(),
        renewed.token.expose(),
        renewed.refresh_token.expose(),
        PASSWORD,
        "nobody's business",
    ] {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
}

#[tokio::test]
async fn request_ids_are_told_and_logged() {
    let server = Server::start(MODE).await;
    let answer = server.http().get("/nowhere", "").await.expect(404);
    let id = answer.header("x-request-id").expect("an id").to_owned();
    assert_eq!(answer.json()["error"]["request_id"], *id);
    integration_tests::eventually("the access log has it", async || {
        server
            .log()
            .iter()
            .any(|line| line.contains(&id))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn proxy_that_is_not_trusted_is_reported_once() {
    let server = Server::start(MODE).await;
    for _ in 0..3 {
        let asked = server.http().request(Method::GET, "/healthz");
        send(asked.header("x-forwarded-for", "192.0.2.1"))
            .await
            .expect(200);
    }
    eventually("the requests are logged", async || {
        let log = server.log();
        let asked = log.iter().filter(|line| line.contains("GET /healthz 200"));
        (asked.count() == 3).then_some(())
    })
    .await;
    let log = server.log();
    let reports = log
        .iter()
        .filter(|line| line.contains("server.trusted_proxies"));
    assert_eq!(reports.count(), 1, "{log:#?}");
}

#[tokio::test]
async fn token_with_line_breaks_and_escapes_forges_no_line_of_the_log() {
    // {"alg":"x\nforged line\u001b]0;title\u0007","typ":"JWT"} in base64url.
    const HEADER: &str =
        "eyJhbGciOiJ4XG5mb3JnZWQgbGluZVx1MDAxYl0wO3RpdGxlXHUwMDA3IiwidHlwIjoiSldUIn0";
    let server = Server::with(MODE, &[("LAKECHAT_LOG", "debug")]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let token = format!("{HEADER}.e30.AAAA");
    let code = ws.refused(json!({"type": "refresh", "token": token})).await;
    assert_eq!(code, "not_authenticated");
    let line = eventually("it is logged", async || {
        let mut lines = server.log().into_iter();
        lines.find(|line| line.contains("forged line"))
    })
    .await;
    assert!(line.contains(r"x\nforged line"), "{line}");
    assert!(
        !line.contains('\u{1b}') && !line.contains('\u{7}'),
        "{line}"
    );
}

#[tokio::test]
async fn mistakes_of_clients_do_not_fill_the_log() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    for _ in 0..100 {
        let token = "e30.e30.AAAA";
        ws.refused(json!({"type": "refresh", "token": token})).await;
    }
    let log = server.log();
    let refused = log.iter().filter(|line| line.contains("refused"));
    assert_eq!(refused.count(), 0, "{log:#?}");
}
