//! The tour: what two people do on their first day, and that all of it outlives a kill.

use integration_tests::bytes::sha256;
use integration_tests::{Person, Server};
use serde_json::{Value, json};

use crate::MODE;

#[tokio::test]
async fn two_people_chat_exchange_a_file_and_find_all_of_it_after_a_kill() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let (mut a, mut b) = (
        ann.joined(&server, "general").await,
        bob.joined(&server, "general").await,
    );

    let ack = a.say("general", "a-1", "hi bob").await;
    let heard = b.of_type("message").await;
    assert_eq!(heard["id"], ack["id"]);
    assert_eq!(
        (&heard["sender"], &heard["text"]),
        (&json!("ann"), &json!("hi bob"))
    );

    let bytes = b"the plan\n".repeat(40_000);
    let file = server
        .http()
        .upload(bob.token(), "plan.txt", bytes.clone())
        .await;
    let file = file.expect(201).json();
    assert_eq!(file["sha256"], sha256(&bytes));
    let post = json!({"type": "send", "channel": "general", "client_msg_id": "b-1",
        "text": "here it is", "file_id": file["id"], "reply_to": heard["id"]});
    assert_eq!(b.ask(post).await["type"], "ack");
    let shared = a
        .until(|f| f["type"] == "message" && f["sender"] == "bob")
        .await;
    assert_eq!(shared["file"]["name"], "plan.txt");
    assert_eq!(shared["file"]["size"], bytes.len());

    let before = ann.history(&server, "general").await;
    assert_eq!(texts(&before), ["hi bob", "here it is"]);
    server.kill_9().await;
    server.restart().await;
    assert_eq!(ann.history(&server, "general").await, before);
    let id = shared["file"]["id"].as_str().expect("an id");
    let download = server
        .http()
        .get(&format!("/download/{id}"), ann.token())
        .await;
    let download = download.expect(200);
    assert_eq!(download.body, bytes);
    let etag = format!("\"{}\"", sha256(&bytes));
    assert_eq!(download.header("etag"), Some(&*etag));
    let me = server
        .http()
        .get("/me", bob.token())
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&me["user"], &me["channels"][0]["name"]),
        (&json!("bob"), &json!("general"))
    );
}

#[tokio::test]
async fn channel_is_made_described_left_and_archived() {
    let server = Server::start(MODE).await;
    let (ann, bob) = (
        Person::register(&server, "ann").await,
        Person::register(&server, "bob").await,
    );
    let made = json!({"name": "ops", "kind": "public", "topic": "what burns"});
    let made = server.http().post("/channels", ann.token(), made).await;
    let made = made.expect(201).json();
    assert_eq!(
        (&made["name"], &made["topic"], &made["role"]),
        (&json!("ops"), &json!("what burns"), &json!("owner"))
    );
    let http = server.http();
    let topic = http
        .request(reqwest::Method::PATCH, "/channels/ops")
        .bearer_auth(ann.token())
        .json(&json!({"topic": "what burnt"}));
    integration_tests::http::send(topic).await.expect(200);

    let join = format!("/channels/ops/members/{}", bob.name());
    http.call(reqwest::Method::PUT, &join, bob.token())
        .await
        .expect(200);
    let ops = http
        .get("/channels/ops", bob.token())
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&ops["topic"], &ops["members"]),
        (&json!("what burnt"), &json!(2))
    );
    let members = http
        .get("/channels/ops/members", bob.token())
        .await
        .expect(200);
    let members = members.json()["members"]
        .as_array()
        .expect("members")
        .clone();
    let people: Vec<_> = members.iter().map(|m| (&m["user"], &m["role"])).collect();
    assert_eq!(
        people,
        [
            (&json!("ann"), &json!("owner")),
            (&json!("bob"), &json!("member"))
        ]
    );
    let welcome = bob.connect(&server).await.welcome;
    assert!(names(&welcome["channels"]).contains(&"ops".to_owned()));

    http.call(reqwest::Method::DELETE, &join, bob.token())
        .await
        .expect(204);
    let welcome = bob.connect(&server).await.welcome;
    assert!(!names(&welcome["channels"]).contains(&"ops".to_owned()));
    let all = http.get("/channels", bob.token()).await.expect(200).json();
    assert_eq!(names(&all["channels"]), ["general", "ops"]);

    let mut a = ann.joined(&server, "ops").await;
    a.say("ops", "a-1", "last words").await;
    http.call(reqwest::Method::DELETE, "/channels/ops", ann.token())
        .await;
    let late = json!({"type": "send", "channel": "ops", "client_msg_id": "a-2", "text": "more"});
    assert_eq!(a.refused(late).await, "channel_archived");
    assert_eq!(texts(&ann.history(&server, "ops").await), ["last words"]);
}

#[tokio::test]
async fn history_is_paged_in_both_directions_without_gap_or_double() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let mut ids = Vec::new();
    for n in 0..25 {
        let ack = ws.say("general", &format!("a-{n}"), &n.to_string()).await;
        ids.push(ack["id"].as_str().expect("an id").to_owned());
    }
    let page = async |query: String| {
        let path = format!("/channels/general/messages?{query}");
        let page = server
            .http()
            .get(&path, ann.token())
            .await
            .expect(200)
            .json();
        let next = page["next"].as_str().map(str::to_owned);
        (ids_of(page["messages"].as_array().expect("messages")), next)
    };
    for (first, backwards) in [
        ("limit=10".to_owned(), true),
        (format!("before={}&limit=10", ids[24]), true),
        (format!("after={}&limit=10", ids[0]), false),
    ] {
        let mut seen = Vec::new();
        let mut query = first.clone();
        loop {
            let (mut part, next) = page(query).await;
            if backwards {
                part.extend(std::mem::take(&mut seen));
                seen = part;
            } else {
                seen.extend(part);
            }
            let Some(cursor) = next else { break };
            query = format!("cursor={cursor}");
        }
        let whole = match &*first {
            "limit=10" => &ids[..],
            before if before.starts_with("before") => &ids[..24],
            _ => &ids[1..],
        };
        assert_eq!(seen, whole, "{first}");
    }
    let (around, _) = page(format!("around={}&limit=10", ids[12])).await;
    assert!(around.windows(2).all(|pair| pair[0] < pair[1]));
    let frame = json!({"type": "history", "channel": "general", "before": ids[5], "limit": 3});
    let answer = ws.ask(frame).await;
    assert_eq!(answer["type"], "history");
    assert_eq!(
        ids_of(answer["messages"].as_array().expect("messages")),
        ids[2..5]
    );
}

#[tokio::test]
async fn retry_is_harmless_and_another_body_is_refused() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let first = ws.say("general", "a-1", "once").await;
    assert_eq!(
        (&first["duplicate"], &first["level"]),
        (&json!(false), &json!("accepted"))
    );
    let again = ws.say("general", "a-1", "once").await;
    assert_eq!(
        (&again["id"], &again["duplicate"]),
        (&first["id"], &json!(true))
    );
    server.kill_9().await;
    server.restart().await;
    let mut ws = ann.joined(&server, "general").await;
    let after_kill = ws.say("general", "a-1", "once").await;
    assert_eq!(
        (&after_kill["id"], &after_kill["duplicate"]),
        (&first["id"], &json!(true))
    );
    let other =
        json!({"type": "send", "channel": "general", "client_msg_id": "a-1", "text": "twice"});
    assert_eq!(ws.refused(other).await, "idempotency_conflict");
    let mut persisted = integration_tests::ws::send_frame("general", "a-2", "kept");
    persisted["ack"] = json!("persisted");
    assert_eq!(ws.ask(persisted).await["level"], "persisted");
    assert_eq!(
        texts(&ann.history(&server, "general").await),
        ["once", "kept"]
    );
}

fn texts(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|m| m["text"].as_str().expect("a text"))
        .collect()
}

fn ids_of(messages: &[Value]) -> Vec<String> {
    let ids = messages
        .iter()
        .map(|m| m["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

fn names(channels: &Value) -> Vec<String> {
    let channels = channels.as_array().expect("channels").iter();
    channels
        .map(|c| c["name"].as_str().expect("a name").to_owned())
        .collect()
}
