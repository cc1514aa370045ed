//! Codes that say that a part is away, each with a server of its own.

use std::process::Stdio;
use std::time::Duration;

use futures_util::stream;
use integration_tests::{Person, Server, bytes, eventually, within, ws::send_frame};
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::interval;

use super::refusal;
use crate::MODE;

/// Somebody's shell that holds the database's only place for a writer.
struct Lock {
    shell: Child,
    typed: ChildStdin,
}

impl Lock {
    async fn take(server: &Server) -> Lock {
        let mut shell = Command::new("sqlite3")
            .arg(server.database())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("sqlite3 is installed");
        let mut typed = shell.stdin.take().expect("it is piped");
        typed
            .write_all(b".timeout 10000\nBEGIN IMMEDIATE;\nSELECT 'locked';\n")
            .await
            .expect("it reads");
        let mut said = BufReader::new(shell.stdout.take().expect("it is piped")).lines();
        let line = within(said.next_line()).await.expect("it speaks");
        assert_eq!(line.as_deref(), Some("locked"));
        Lock { shell, typed }
    }

    async fn release(mut self) {
        drop(self.typed);
        within(self.shell.wait()).await.expect("a child of ours");
    }
}

#[tokio::test]
async fn file_store_that_fails_is_storage_unavailable() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let (tmp, away) = (
        server.data_dir().join("tmp"),
        server.data_dir().join("away"),
    );
    std::fs::rename(&tmp, &away).expect("a folder of ours");
    std::fs::write(&tmp, "no folder").expect("a folder of ours");
    let upload = async || {
        let file = vec![b'x'; 1_000_000];
        server.http().upload(ann.token(), "large", file).await
    };
    let refused = refusal(&upload().await);
    assert_eq!(refused, (503, "storage_unavailable".to_owned()));
    // The rest goes on meanwhile, and uploads do as soon as they can.
    ann.joined(&server, "general")
        .await
        .say("general", "a-1", "still here")
        .await;
    std::fs::remove_file(&tmp).expect("a folder of ours");
    std::fs::rename(&away, &tmp).expect("a folder of ours");
    let file = upload().await.expect(201).json();
    assert_eq!(file["sha256"], bytes::sha256(&vec![b'x'; 1_000_000]));
}

#[tokio::test]
async fn slow_body_is_request_timeout() {
    let server = Server::with(MODE, &[("LAKECHAT_SERVER__BODY_TIMEOUT_MS", "200")]).await;
    let ann = Person::register(&server, "ann").await;
    let request = format!(
        "POST /upload?name=slow HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-length: 10\r\n\r\nhalf",
        ann.token()
    );
    let answer = server.http().raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"request_timeout\""), "{answer}");
    assert!(server.stored_files().is_empty());
}

#[tokio::test]
async fn dripping_body_is_request_timeout() {
    let server = Server::with(
        MODE,
        &[
            ("LAKECHAT_SERVER__BODY_TIMEOUT_MS", "1000"),
            ("LAKECHAT_SERVER__MIN_BYTES_PER_SECOND", "5000"),
        ],
    )
    .await;
    let ann = Person::register(&server, "ann").await;
    let drops = stream::unfold(interval(Duration::from_millis(100)), async |mut pace| {
        pace.tick().await;
        Some((Ok::<_, std::io::Error>("drop"), pace))
    });
    let body = reqwest::Body::wrap_stream(drops);
    let answer = server.http().upload(ann.token(), "drips", body).await;
    assert_eq!(refusal(&answer), (408, "request_timeout".to_owned()));
    assert_eq!(answer.json()["error"]["limit"], 5000);
    assert!(server.stored_files().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locked_database_is_broker_and_directory_unavailable() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    ws.say("general", "a-1", "before").await;

    let lock = Lock::take(&server).await;
    let refused = ws.refused(send_frame("general", "a-2", "meanwhile")).await;
    assert_eq!(refused, "broker_unavailable");
    let body = json!({"username": "bob", "password": integration_tests::people::PASSWORD});
    let register = server
        .http()
        .open(reqwest::Method::POST, "/register", body.clone())
        .await;
    assert_eq!(
        refusal(&register),
        (503, "directory_unavailable".to_owned())
    );
    assert_eq!(server.http().get("/healthz", "").await.status.as_u16(), 200);
    assert_eq!(ann.history(&server, "general").await.len(), 1);

    lock.release().await;
    eventually("a retry is taken", async || {
        let answer = ws.ask(send_frame("general", "a-2", "meanwhile")).await;
        (answer["type"] == "ack").then_some(())
    })
    .await;
    assert_eq!(ann.history(&server, "general").await.len(), 2);
    let register = server
        .http()
        .open(reqwest::Method::POST, "/register", body)
        .await;
    // The refused try may have happened: then it is the same account, or a name that is taken.
    assert!(
        [201, 409].contains(&register.status.as_u16()),
        "{register:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_of_a_message_with_a_file_is_answered_while_the_directory_takes_nothing() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let parent = ws.say("general", "a-1", "before").await;
    let file = server.http().upload(ann.token(), "notes", "x").await;
    let file = file.expect(201).json();
    let with_file = |client_msg_id| {
        let mut frame = send_frame("general", client_msg_id, "here it is");
        frame["file_id"] = file["id"].clone();
        frame["reply_to"] = parent["id"].clone();
        frame
    };
    let first = ws.ask(with_file("a-2")).await;
    assert_eq!(
        (&first["type"], &first["duplicate"]),
        (&json!("ack"), &json!(false))
    );

    let lock = Lock::take(&server).await;
    let refused = ws.refused(with_file("a-3")).await;
    assert_eq!(refused, "directory_unavailable");
    let retry = ws.ask(with_file("a-2")).await;
    assert_eq!(
        (&retry["id"], &retry["duplicate"]),
        (&first["id"], &json!(true))
    );
    lock.release().await;
}

#[tokio::test]
async fn session_that_is_asked_for_in_the_drain_is_refused_as_shutting_down() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut tcp = TcpStream::connect(server.address())
        .await
        .expect("it listens");
    let head = format!(
        "GET /chat HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n",
        ann.token()
    );
    tcp.write_all(head.as_bytes()).await.expect("it reads");
    // Half a request is under way once the server has read it: later ones are answered.
    server.http().get("/healthz", "").await.expect(200);
    server.signal(Signal::TERM);
    eventually("it drains", async || {
        let ready = server.http().get("/readyz", "").await;
        (ready.status.as_u16() == 503).then_some(())
    })
    .await;
    let rest = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tcp.write_all(rest).await.expect("it reads on");
    let mut answer = String::new();
    let read = within(tcp.read_to_string(&mut answer)).await;
    read.expect("an answer and the end");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("\"shutting_down\""), "{answer}");
    assert_eq!(server.ended().await.code(), Some(0));
}
