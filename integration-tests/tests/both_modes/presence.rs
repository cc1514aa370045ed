//! Who is in a channel, asked over HTTP.

use integration_tests::{Person, Server, eventually, within};
use reqwest::Method;
use serde_json::{Value, json};

use crate::MODE;

async fn ask(server: &Server, who: &Person, channel: &str) -> Value {
    let path = format!("/channels/{channel}/presence");
    server
        .http()
        .get(&path, who.token())
        .await
        .expect(200)
        .json()
}

/// Names of those who are there.
async fn present(server: &Server, who: &Person, channel: &str) -> Vec<String> {
    let answer = ask(server, who, channel).await;
    let members = answer["members"].as_array().expect("members").iter();
    members
        .map(|m| m["user"].as_str().expect("a name").to_owned())
        .collect()
}

#[tokio::test]
async fn who_has_joined_is_there_with_server_and_time() {
    let server = Server::with(MODE, &[("LAKECHAT_SERVER__ID", "a")]).await;
    let [ann, bob] = [
        Person::register(&server, "ann").await,
        Person::register(&server, "bob").await,
    ];
    let empty = json!({"degraded": false, "members": []});
    assert_eq!(ask(&server, &ann, "general").await, empty);
    let before_ms = now_ms();
    let _bob = bob.joined(&server, "general").await;
    // Connected, and in no channel.
    let _ann = ann.connect(&server).await;
    let answer = ask(&server, &ann, "general").await;
    let since = answer["members"][0]["sessions"][0]["since"].as_u64();
    let since = since.expect("a time");
    assert!((before_ms..=now_ms()).contains(&since), "{answer}");
    let sessions = json!([{"server": "a", "since": since}]);
    let members = json!([{"user": "bob", "state": "online", "sessions": sessions}]);
    assert_eq!(answer, json!({"degraded": false, "members": members}));
}

#[tokio::test]
async fn a_person_is_there_until_the_last_session_has_left() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut leaves = ann.joined(&server, "general").await;
    let closes = ann.joined(&server, "general").await;
    let vanishes = ann.joined(&server, "general").await;
    let left = leaves
        .ask(json!({"type": "leave", "channel": "general"}))
        .await;
    assert_eq!(left["type"], "left");
    let answer = ask(&server, &ann, "general").await;
    let sessions = answer["members"][0]["sessions"].as_array();
    assert_eq!(sessions.map(Vec::len), Some(2), "{answer}");
    within(closes.close()).await;
    drop(vanishes);
    eventually("nobody is there", async || {
        present(&server, &ann, "general")
            .await
            .is_empty()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_is_no_member_any_more_is_not_there() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    assert_eq!(present(&server, &ann, "general").await, ["ann"]);
    let membership = "/channels/general/members/ann";
    let http = server.http();
    http.call(Method::DELETE, membership, ann.token())
        .await
        .expect(204);
    ws.of_type("left").await;
    assert!(present(&server, &ann, "general").await.is_empty());
}

#[tokio::test]
async fn resumed_session_is_there() {
    let server = Server::start(MODE).await;
    let [ann, bob] = [
        Person::register(&server, "ann").await,
        Person::register(&server, "bob").await,
    ];
    ann.joined(&server, "general")
        .await
        .say("general", "c-1", "hi")
        .await;
    let mut ws = bob.connect(&server).await;
    ws.join("general", Some("0")).await;
    ws.messages(1).await;
    eventually("bob is there", async || {
        let there = present(&server, &ann, "general").await;
        there.contains(&"bob".to_owned()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn everybody_with_a_token_may_ask_of_a_public_channel() {
    let server = Server::start(MODE).await;
    let [ann, bob] = [
        Person::register(&server, "ann").await,
        Person::register(&server, "bob").await,
    ];
    ann.create_channel(&server, "ops").await;
    let _ann = ann.joined(&server, "ops").await;
    assert_eq!(present(&server, &bob, "ops").await, ["ann"]);
    let http = server.http();
    let refused = http.get("/channels/none/presence", ann.token()).await;
    assert_eq!(refused.expect(404).code(), "channel_not_found");
    let refused = http
        .get("/channels/ops/presence?limit=1", ann.token())
        .await;
    assert_eq!(refused.expect(400).code(), "param_unknown");
    let refused = http.get("/channels/ops/presence", "nonsense").await;
    assert_eq!(refused.expect(401).code(), "not_authenticated");
    let refused = http
        .call(Method::DELETE, "/channels/ops/presence", ann.token())
        .await
        .expect(405);
    assert_eq!(refused.code(), "method_not_allowed");
    assert_eq!(refused.header("allow"), Some("GET"));
}

fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    since.as_millis() as u64
}
