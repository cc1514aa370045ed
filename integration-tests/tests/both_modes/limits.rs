//! Each limit is reached, says so, and lets go again. The largest file stands in `codes`, channels
//! joined at once too; frames in `closes`.

use std::collections::HashMap;

use futures_util::future::join_all;
use integration_tests::http::send;
use integration_tests::people::{PASSWORD, channel};
use integration_tests::{Person, Server, Ws, eventually, within, ws::send_frame};
use lakechat_client::Event;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

use crate::MODE;

/// Sends many at once; the refusals among the answers.
async fn burst(ws: &mut Ws, name: &str, count: usize) -> Vec<Value> {
    for n in 0..count {
        ws.feed(send_frame("general", &format!("{name}-{n}"), "hi"))
            .await;
    }
    ws.flush().await;
    let mut refused = Vec::new();
    for _ in 0..count {
        let answer = ws
            .until(|f| f["type"] == "ack" || f["type"] == "error")
            .await;
        if answer["type"] == "error" {
            refused.push(answer["error"].clone());
        }
    }
    refused
}

/// Bursts of five seconds' worth pass, more is refused with a time, and then it goes on.
async fn sends_are_limited(limit: &str) {
    let server = Server::with(MODE, &[(limit, "2")]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let refused = burst(&mut ws, "a", 40).await;
    assert!(
        (25..=30).contains(&refused.len()),
        "{} of 40 refused",
        refused.len()
    );
    for error in &refused {
        assert_eq!(error["code"], "rate_limited");
        assert!(
            error["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0),
            "{error}"
        );
    }
    eventually("it lets go", async || {
        let answer = ws.ask(send_frame("general", "a-late", "hi")).await;
        (answer["type"] == "ack").then_some(())
    })
    .await;
}

/// Tokens come every few milliseconds, in the midst of what is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_keep_their_order_when_some_are_refused_for_the_moment() {
    const SENDS: usize = 800;
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__SENDS_PER_USER", "100")]).await;
    let ann = Person::register(&server, "ann").await;
    let (session, mut events) = ann.session();
    let general = channel("general");
    session.join(general.clone(), None).await.expect("it lives");
    let sending = async {
        let mut sent = Vec::new();
        for n in 0..SENDS {
            let id = session.send(general.clone(), format!("message {n}")).await;
            sent.push(id.expect("it lives").to_string());
        }
        sent
    };
    let answers = async {
        let mut acked = HashMap::new();
        while acked.len() < SENDS {
            if let Event::Acked {
                client_msg_id, id, ..
            } = events.next().await.expect("it lives")
            {
                acked.insert(client_msg_id.to_string(), id);
            }
        }
        acked
    };
    let (sent, acked) = within(async { tokio::join!(sending, answers) }).await;
    let ids: Vec<_> = sent.iter().map(|id| acked[id]).collect();
    assert!(ids.is_sorted(), "the order of the sends");
}

#[tokio::test]
async fn sends_per_user() {
    sends_are_limited("LAKECHAT_LIMITS__SENDS_PER_USER").await;
}

#[tokio::test]
async fn sends_per_channel() {
    sends_are_limited("LAKECHAT_LIMITS__SENDS_PER_CHANNEL").await;
}

#[tokio::test]
async fn one_users_limit_is_not_anothers() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__SENDS_PER_USER", "2")]).await;
    let mut ann = Person::register(&server, "ann")
        .await
        .joined(&server, "general")
        .await;
    let mut bob = Person::register(&server, "bob")
        .await
        .joined(&server, "general")
        .await;
    assert!(!burst(&mut ann, "a", 40).await.is_empty());
    assert!(burst(&mut bob, "b", 10).await.is_empty());
}

/// The status and headers of an upgrade that is refused.
async fn upgrade_refused(server: &Server, token: &str) -> Option<(u16, bool)> {
    let bearer = format!("Bearer {token}");
    match Ws::try_open(server.address(), &[("authorization", &bearer)]).await {
        Ok(_) => None,
        Err(error) => match *error {
            Error::Http(answer) => {
                let told = answer.headers().contains_key("retry-after");
                Some((answer.status().as_u16(), told))
            }
            other => panic!("{other}"),
        },
    }
}

#[tokio::test]
async fn connects_per_address() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__CONNECTS_PER_ADDRESS", "1")]).await;
    let ann = Person::register(&server, "ann").await;
    for _ in 0..5 {
        ann.connect(&server).await;
    }
    let mut refused = None;
    for _ in 0..5 {
        refused = refused.or(upgrade_refused(&server, ann.token()).await);
    }
    assert_eq!(refused, Some((429, true)));
    eventually("it lets go", async || {
        upgrade_refused(&server, ann.token())
            .await
            .is_none()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_per_address() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__CONNECTIONS_PER_ADDRESS", "3")]).await;
    let ann = Person::register(&server, "ann").await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(ann.connect(&server).await);
    }
    assert_eq!(
        upgrade_refused(&server, ann.token()).await,
        Some((429, true))
    );
    open.pop().expect("three").close().await;
    eventually("a place is free", async || {
        upgrade_refused(&server, ann.token())
            .await
            .is_none()
            .then_some(())
    })
    .await;
}

/// A connection that stays open; none if the server has dropped it without a word.
async fn kept(server: &Server) -> Option<TcpStream> {
    let mut tcp = TcpStream::connect(server.address()).await.ok()?;
    let ask = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // A server that drops it may reset it, too.
    tcp.write_all(ask).await.ok()?;
    let mut answer = [0; 12];
    within(tcp.read_exact(&mut answer)).await.ok()?;
    assert_eq!(&answer, b"HTTP/1.1 200");
    Some(tcp)
}

#[tokio::test]
async fn connections_of_one_peer() {
    let server = Server::with(MODE, &[("LAKECHAT_SERVER__MAX_CONNECTIONS_PER_PEER", "3")]).await;
    let mut open = Vec::new();
    while open.len() < 3 {
        // The calls that asked whether it is ready may not be gone yet.
        open.push(eventually("a place is free", async || kept(&server).await).await);
    }
    assert!(kept(&server).await.is_none(), "the fourth is dropped");
    open.pop();
    eventually("a place is free again", async || kept(&server).await).await;
}

#[tokio::test]
async fn connections_per_user() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__CONNECTIONS_PER_USER", "2")]).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let first = ann.connect(&server).await;
    let _second = ann.connect(&server).await;
    let third = async || {
        let mut ws = Ws::bare(server.address()).await;
        ws.send(json!({"type": "hello", "token": ann.token()}))
            .await;
        ws
    };
    let closed = third().await.closed().await;
    assert_eq!(closed.code, Some(4504));
    assert_eq!(closed.closing.expect("it is announced")["code"], 4504);
    bob.connect(&server).await;
    first.close().await;
    eventually("a place is free", async || {
        let mut ws = third().await;
        let integration_tests::ws::Got::Frame(frame) = ws.got().await else {
            return None;
        };
        (frame["type"] == "welcome").then_some(())
    })
    .await;
}

#[tokio::test]
async fn channels_per_user() {
    let server = Server::with(MODE, &[("LAKECHAT_CHAT__CHANNELS_PER_USER", "3")]).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    for name in ["a", "b"] {
        ann.create_channel(&server, name).await;
    }
    bob.create_channel(&server, "c").await;
    bob.create_channel(&server, "d").await;
    let mut ws = ann.joined(&server, "c").await;
    let member = async |method, channel: &str| {
        let path = format!("/channels/{channel}/members/ann");
        server.http().call(method, &path, ann.token()).await
    };
    let create = async |name: &str| {
        let body = json!({"name": name, "kind": "public"});
        server.http().post("/channels", ann.token(), body).await
    };
    // Leaving one makes no room, and one may return.
    member(Method::DELETE, "c").await.expect(204);
    let join = json!({"type": "join", "channel": "d"});
    assert_eq!(ws.refused(join).await, "too_many_channels");
    let put = member(Method::PUT, "d").await.expect(409);
    assert_eq!(put.code(), "too_many_channels");
    assert_eq!(create("e").await.expect(409).code(), "too_many_channels");
    member(Method::PUT, "c").await.expect(200);
    ws.join("c", None).await;
    // The refused name is free.
    bob.create_channel(&server, "e").await;
}

#[tokio::test]
async fn logins_per_address() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__LOGINS_PER_ADDRESS", "1")]).await;
    let login = async |path: &str, user: String| {
        let body = json!({"username": user, "password": PASSWORD});
        server.http().open(Method::POST, path, body).await
    };
    let mut limited = None;
    for n in 0..20 {
        let answer = login("/register", format!("user-{n}")).await;
        if answer.status.as_u16() == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("registrations count");
    assert_eq!(limited.code(), "rate_limited");
    assert!(limited.header("retry-after").is_some());
    eventually("it lets go", async || {
        let answer = login("/login", "user-0".to_owned()).await;
        (answer.status.as_u16() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn repeated_wrong_passwords_are_slowed_and_the_right_one_waits_too() {
    let server = Server::start(MODE).await;
    Person::register(&server, "ann").await;
    let login = async |password: &str| {
        let body = json!({"username": "ann", "password": password});
        server.http().open(Method::POST, "/login", body).await
    };
    let mut tries = 0;
    let limited = loop {
        let answer = login("wrong horse").await;
        if answer.status.as_u16() == 429 {
            break answer;
        }
        assert_eq!(answer.code(), "invalid_credentials");
        tries += 1;
        assert!(tries < 50, "guessing goes on for ever");
    };
    assert_eq!(limited.code(), "rate_limited");
    assert!(tries >= 3, "people mistype");
    assert_eq!(login(PASSWORD).await.status.as_u16(), 429);
}

#[tokio::test]
async fn text_bytes() {
    let server = Server::start(MODE).await;
    let mut ws = Person::register(&server, "ann")
        .await
        .joined(&server, "general")
        .await;
    let most = ws.welcome["limits"]["text_bytes"]
        .as_u64()
        .expect("a limit") as usize;
    ws.say("general", "a-1", &"x".repeat(most)).await;
    // Bytes are counted, not characters.
    let over = send_frame("general", "a-2", &"é".repeat(most / 2 + 1));
    let error = ws.ask(over).await["error"].clone();
    assert_eq!(
        (&error["code"], &error["limit"]),
        (&json!("message_too_large"), &json!(most))
    );
    ws.say("general", "a-3", "the socket stays open").await;
}

#[tokio::test]
async fn full_window_refuses_sends_and_still_knows_retries() {
    let window = [("LAKECHAT_CHAT__WINDOW_BYTES", "1048576")];
    let server = Server::with(MODE, &window).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let first = ws.say("general", "a-0", "x").await;
    let mut refusal = None;
    for batch in 0..200 {
        for n in 1..=100 {
            let id = format!("a-{}", batch * 100 + n);
            ws.feed(send_frame("general", &id, "x")).await;
        }
        ws.flush().await;
        for _ in 0..100 {
            let answer = ws
                .until(|f| f["type"] == "ack" || f["type"] == "error")
                .await;
            if answer["type"] == "error" {
                refusal = Some(answer["error"]["code"].clone());
            }
        }
        if refusal.is_some() {
            break;
        }
    }
    assert_eq!(refusal.expect("the window is full"), "broker_unavailable");
    let again = ws.say("general", "a-0", "x").await;
    assert_eq!(
        (&again["id"], &again["duplicate"]),
        (&first["id"], &true.into())
    );
}

#[tokio::test]
async fn events_of_channels_count_against_the_limit_of_sends() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__SENDS_PER_USER", "1")]).await;
    let ann = Person::register(&server, "ann").await;
    ann.create_channel(&server, "anns").await;
    let mut statuses = Vec::new();
    for n in 0..20 {
        let topic = json!({"topic": format!("t{n}")});
        let request = server.http().request(Method::PATCH, "/channels/anns");
        let answer = send(request.bearer_auth(ann.token()).json(&topic)).await;
        statuses.push(answer.status.as_u16());
    }
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "{statuses:?}"
    );
}

#[tokio::test]
async fn pages_asked_for_together_all_come() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let text = "x".repeat(16_000);
    for n in 0..200 {
        ws.say("general", &format!("a-{n}"), &text).await;
    }
    for n in 0..8 {
        ws.feed(json!({"type": "history", "ref": 900 + n, "channel": "general", "limit": 200}))
            .await;
    }
    ws.flush().await;
    for n in 0..8 {
        let page = ws.until(|f| f["ref"] == 900 + n).await;
        assert_eq!(page["type"], "history");
        assert!(page["next"].is_string(), "a page of long texts has fewer");
    }
}

#[tokio::test]
async fn channel_that_is_refused_by_the_limit_is_not_created() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__SENDS_PER_USER", "1")]).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let (mut created, mut refused) = (vec!["general".to_owned()], None);
    for n in 0..9 {
        let name = format!("c-{n}");
        // Each takes two places: one for the topic, one for the owner.
        let body = json!({"name": name, "kind": "public", "topic": "x"});
        let answer = server.http().post("/channels", ann.token(), body).await;
        match answer.status.as_u16() {
            201 => created.push(name),
            _ => {
                assert_eq!(answer.expect(429).code(), "rate_limited");
                refused.get_or_insert(name);
            }
        }
    }
    let refused = refused.expect("the limit is reached");
    let list = server
        .http()
        .get("/channels", bob.token())
        .await
        .expect(200);
    let list = list.json()["channels"].clone();
    let names = list.as_array().expect("a list").iter();
    let mut names: Vec<_> = names.map(|c| c["name"].as_str().expect("a name")).collect();
    names.sort_unstable();
    created.sort_unstable();
    assert_eq!(names, created);
    // Its name is free.
    bob.create_channel(&server, &refused).await;
}

#[tokio::test]
async fn file_of_a_message_that_is_refused_is_not_shared() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__SENDS_PER_USER", "1")]).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let mut ws = ann.joined(&server, "general").await;
    let mut files = Vec::new();
    for _ in 0..12 {
        let upload = server.http().upload(ann.token(), "a", "bytes").await;
        let id = upload.expect(201).json()["id"].clone();
        files.push(id.as_str().expect("an id").to_owned());
    }
    // With the first file the text is too long; the others come too fast.
    for (n, file) in files.iter().enumerate() {
        let text = "x".repeat(if n == 0 { 16_385 } else { 1 });
        let mut send = send_frame("general", &format!("a-{n}"), &text);
        send["file_id"] = file.as_str().into();
        send["ref"] = n.into();
        ws.feed(send).await;
    }
    ws.flush().await;
    let mut refused = 0;
    for _ in 0..files.len() {
        let is_answer = |f: &Value| f["type"] == "ack" || f["type"] == "error";
        let answer = ws.until(is_answer).await;
        let file = &files[answer["ref"].as_u64().expect("ours") as usize];
        let status = if answer["type"] == "ack" { 200 } else { 403 };
        refused += usize::from(answer["type"] == "error");
        let path = format!("/download/{file}");
        server.http().get(&path, bob.token()).await.expect(status);
    }
    assert!(refused > 1, "the limit isn't reached");
}

#[tokio::test]
async fn websockets_that_wait_for_their_hello() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    // All at once, since each waits for ten seconds only.
    let opening = (0..200).map(|_| Ws::try_open(server.address(), &[]));
    let (mut waiting, mut refused) = (Vec::new(), 0);
    for opened in join_all(opening).await {
        match opened {
            Ok((ws, _)) => waiting.push(ws),
            Err(error) => {
                let Error::Http(answer) = *error else {
                    panic!("{error}");
                };
                assert_eq!(answer.status().as_u16(), 429);
                assert!(answer.headers().contains_key("retry-after"));
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && !waiting.is_empty(), "{refused} refused");
    // With the token in the upgrade it is another matter.
    ann.connect(&server).await;
    // Whoever has said hello leaves its place to others.
    let hello = json!({"type": "hello", "token": ann.token()});
    waiting[0].send(hello).await;
    waiting[0].of_type("welcome").await;
    Ws::bare(server.address()).await;
}
