//! Every close code that a client can meet. Elsewhere: 4001 in `drain`, 4002 after a standstill in
//! `standstill`, 4003 in `tokens`, 4008 in `slow_reader`. 4000 would be a bug of the server; 4503
//! comes with the removal of people.

use bytes::Bytes;
use integration_tests::{Closed, Person, Server, Ws, ws::send_frame};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::MODE;

async fn ann(server: &Server) -> Ws {
    Person::register(server, "ann")
        .await
        .joined(server, "general")
        .await
}

/// A close with a code of ours is announced, with a reason.
fn announced(closed: &Closed, code: u16) {
    assert_eq!(closed.code, Some(code), "{closed:?}");
    let closing = closed.closing.as_ref().expect("it is announced");
    assert_eq!(closing["code"], code);
    assert!(
        closing["reason"].as_str().is_some_and(|r| !r.is_empty()),
        "{closing}"
    );
}

#[tokio::test]
async fn session_that_answers_no_ping_is_closed_with_4002() {
    let server = Server::with(MODE, &[("LAKECHAT_CHAT__PING_MS", "200")]).await;
    let mut ws = ann(&server).await;
    assert_eq!(ws.welcome["ping_ms"], 200);
    let other = Person::register(&server, "bob").await;
    let mut lively = other.joined(&server, "general").await;
    let lively = tokio::spawn(async move {
        lively.of_type("message").await;
        lively
    });
    // What is only looked at is not answered.
    integration_tests::eventually("it is given up", async || {
        ws.unread().await.contains("4002").then_some(())
    })
    .await;
    announced(&ws.closed().await, 4002);
    let mut third = other.joined(&server, "general").await;
    third.say("general", "b-1", "still there?").await;
    let mut lively = integration_tests::within(lively).await.expect("it stays");
    lively.say("general", "b-2", "yes").await;
}

#[tokio::test]
async fn twentieth_bad_frame_within_ten_seconds_closes_with_4500() {
    let server = Server::start(MODE).await;
    for bad in [
        Message::text("nonsense"),
        Message::text(r#"{"type":"sparkle"}"#),
        Message::text(r#"{"type":"join","channel":7}"#),
        Message::binary(vec![1, 2, 3]),
    ] {
        let name = format!("u{}", rand::random::<u32>());
        let mut ws = Person::register(&server, &name)
            .await
            .connect(&server)
            .await;
        for _ in 0..19 {
            ws.raw(bad.clone()).await;
            ws.of_type("error").await;
        }
        ws.raw(bad).await;
        announced(&ws.closed().await, 4500);
    }
}

#[tokio::test]
async fn bad_frames_from_before_the_hello_count_too() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = Ws::bare(server.address()).await;
    for _ in 0..19 {
        ws.raw(Message::text("nonsense")).await;
        ws.of_type("error").await;
    }
    ws.send(json!({"type": "hello", "token": ann.token()}))
        .await;
    ws.of_type("welcome").await;
    ws.raw(Message::text("nonsense")).await;
    announced(&ws.closed().await, 4500);
}

#[tokio::test]
async fn thousand_refused_frames_within_ten_seconds_close_with_4029() {
    let server = Server::start(MODE).await;
    let mut ws = Person::register(&server, "ann")
        .await
        .connect(&server)
        .await;
    for n in 0..1_000 {
        let frame = send_frame("general", &format!("a-{n}"), "not joined").to_string();
        if ws.try_raw(Message::text(frame)).await.is_err() {
            break;
        }
    }
    let closed = ws.closed().await;
    announced(&closed, 4029);
    let closing = closed.closing.expect("it is announced");
    assert!(
        closing["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0),
        "{closing}"
    );
}

#[tokio::test]
async fn nobody_gets_in_without_a_good_token() {
    let server = Server::start(MODE).await;
    let mut nonsense = Ws::bare(server.address()).await;
    nonsense
        .send(json!({"type": "hello", "token": "nonsense"}))
        .await;
    announced(&nonsense.closed().await, 4501);
    let (mut header, _) = Ws::try_open(server.address(), &[("authorization", "Bearer nonsense")])
        .await
        .expect("a bad token still upgrades");
    announced(&header.closed().await, 4501);
    let mut silent = Ws::bare(server.address()).await;
    announced(&silent.closed().await, 4501);
}

#[tokio::test]
async fn token_comes_in_hello_in_the_header_or_as_a_subprotocol() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut hello = Ws::bare(server.address()).await;
    hello
        .send(json!({"type": "hello", "token": ann.token()}))
        .await;
    assert_eq!(hello.of_type("welcome").await["user"], "ann");
    let protocols = format!("lakechat.v1, bearer.{}", ann.token());
    let (mut browser, answer) =
        Ws::try_open(server.address(), &[("sec-websocket-protocol", &protocols)])
            .await
            .expect("an upgrade");
    assert_eq!(answer.headers()["sec-websocket-protocol"], "lakechat.v1");
    assert_eq!(browser.of_type("welcome").await["user"], "ann");
}

#[tokio::test]
async fn foreign_origin_is_refused_before_the_upgrade() {
    let allowed = "https://friend.example";
    let server = Server::with(
        MODE,
        &[(
            "LAKECHAT_SERVER__ALLOWED_ORIGINS",
            r#"["https://friend.example"]"#,
        )],
    )
    .await;
    let own = server.url();
    for (origin, good) in [
        (allowed, true),
        (own.as_str(), true),
        ("https://evil.example", false),
    ] {
        let opened = Ws::try_open(server.address(), &[("origin", origin)]).await;
        assert_eq!(opened.is_ok(), good, "{origin}");
    }
}

#[tokio::test]
async fn frame_over_the_limit_closes_with_1009_and_invalid_utf8_with_1007() {
    let server = Server::start(MODE).await;
    let person = Person::register(&server, "ann").await;
    let mut ws = person.connect(&server).await;
    let most = ws.welcome["limits"]["frame_bytes"]
        .as_u64()
        .expect("a limit") as usize;
    ws.raw(Message::text(" ".repeat(most))).await;
    assert_eq!(ws.of_type("error").await["error"]["code"], "bad_frame");
    // The server may close before it has read the whole of it.
    let _ = ws.try_raw(Message::text(" ".repeat(most + 1))).await;
    assert_eq!(ws.closed().await.code, Some(1009));

    let mut ws = person.connect(&server).await;
    let data = OpCode::Data(Data::Text);
    let frame = Frame::message(Bytes::from_static(b"{\"type\":\"\xff\"}"), data, true);
    ws.raw(Message::Frame(frame)).await;
    assert_eq!(ws.closed().await.code, Some(1007));
}

#[tokio::test]
async fn good_bye_of_the_client_is_answered() {
    let server = Server::start(MODE).await;
    ann(&server).await.close().await;
}
