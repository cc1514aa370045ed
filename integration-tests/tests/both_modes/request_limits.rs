//! What a user may ask for and have under way, over HTTP and in sessions together.

use futures_util::future::join_all;
use integration_tests::http::send;
use integration_tests::{Person, Server, eventually};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::MODE;

const PAGE: &str = "/channels/general/messages";

#[tokio::test]
async fn calls_of_a_user_are_limited() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__REQUESTS_PER_USER", "1")]).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let calls = (0..20).map(|_| server.http().get("/users/bob", ann.token()));
    let answers = join_all(calls).await;
    let (passed, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert!(passed.len() >= 5, "a burst of five passes");
    let refused = refused.first().expect("twenty don't");
    assert_eq!(
        (refused.status.as_u16(), &*refused.code()),
        (429, "rate_limited")
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.json()["error"]["limit"], 1);
    server.http().get("/me", bob.token()).await.expect(200);
    eventually("it lets go", async || {
        let answer = server.http().get("/users/bob", ann.token()).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pages_weigh_more_and_frames_count_with_calls() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__REQUESTS_PER_USER", "1")]).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let mut ws = ann.connect(&server).await;
    server.http().get(PAGE, ann.token()).await.expect(200);
    let refused = server.http().get(PAGE, ann.token()).await.expect(429);
    assert_eq!(refused.code(), "rate_limited");
    let page = json!({"type": "history", "ref": 1, "channel": "general"});
    assert_eq!(ws.refused(page).await, "rate_limited");
    server.http().get(PAGE, bob.token()).await.expect(200);
    let refused = r#"lakechat_requests_limited_total{kind="page"}"#;
    assert_eq!(server.http().metric(refused).await, Some(2));
}

#[tokio::test]
async fn joins_count_as_requests() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__REQUESTS_PER_USER", "1")]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.connect(&server).await;
    for n in 0..20 {
        let join = json!({"type": "join", "ref": n, "channel": format!("nowhere-{n}")});
        ws.feed(join).await;
    }
    ws.flush().await;
    let mut codes = Vec::new();
    for n in 0..20 {
        let answer = ws.until(|frame| frame["ref"] == n).await;
        codes.push(answer["error"]["code"].as_str().expect("a code").to_owned());
    }
    assert_eq!(codes[..5], ["channel_not_found"; 5]);
    assert!(codes.contains(&"rate_limited".to_owned()), "{codes:?}");
}

/// An upload of which a part is still to come.
async fn half_an_upload(server: &Server, person: &Person) -> TcpStream {
    let mut tcp = TcpStream::connect(server.address())
        .await
        .expect("it listens");
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-length: 1000000\r\n\r\nhalf",
        person.token()
    );
    tcp.write_all(head.as_bytes()).await.expect("it reads");
    tcp
}

async fn uploads_are(server: &Server, count: u64) {
    let open = r#"lakechat_open_transfers{direction="upload"}"#;
    eventually("so many uploads are under way", async || {
        let open = server.http().metric(open).await;
        open.filter(|open| *open == count)
    })
    .await;
}

#[tokio::test]
async fn transfers_under_way_are_limited_by_user_and_in_all() {
    let limits = [
        ("LAKECHAT_LIMITS__TRANSFERS_PER_USER", "2"),
        ("LAKECHAT_FILES__TRANSFERS", "3"),
    ];
    let server = Server::with(MODE, &limits).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let file = server
        .http()
        .upload(ann.token(), "a", "x")
        .await
        .expect(201);
    let download = format!("/download/{}", file.json()["id"].as_str().expect("an id"));
    let first = half_an_upload(&server, &ann).await;
    let _second = half_an_upload(&server, &ann).await;
    uploads_are(&server, 2).await;

    let refused = server
        .http()
        .upload(ann.token(), "b", "x")
        .await
        .expect(429);
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.json()["error"]["limit"], 2);
    assert!(refused.header("retry-after").is_some());
    server.http().get(&download, ann.token()).await.expect(429);
    server.http().get(PAGE, ann.token()).await.expect(429);
    // Nothing of these is opened.
    let head = server.http().call(Method::HEAD, &download, ann.token());
    head.await.expect(200);
    let known = server
        .http()
        .request(Method::GET, &download)
        .bearer_auth(ann.token());
    send(known.header("if-none-match", "*")).await.expect(304);
    server
        .http()
        .upload(bob.token(), "b", "x")
        .await
        .expect(201);

    let _third = half_an_upload(&server, &bob).await;
    uploads_are(&server, 3).await;
    let refused = server
        .http()
        .upload(bob.token(), "c", "x")
        .await
        .expect(429);
    assert_eq!(refused.json()["error"]["limit"], 3);
    drop(first);
    uploads_are(&server, 2).await;
    server
        .http()
        .upload(bob.token(), "c", "x")
        .await
        .expect(201);
    server.http().get(&download, ann.token()).await.expect(200);
}
