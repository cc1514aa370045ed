//! Lists and history of any size come in frames of a bounded size.

use integration_tests::{Person, Server, Ws, within, ws::send_frame};
use serde_json::{Value, json};

use crate::MODE;

/// In JSON each of these takes six bytes.
const CONTROL: &str = "\u{1}";

const MIB: usize = 1 << 20;

fn names(channels: &Value) -> Vec<String> {
    let channels = channels.as_array().expect("a list").iter();
    channels
        .map(|c| c["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[tokio::test]
async fn welcome_is_bounded_and_the_rest_comes_by_pages() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut wanted = Vec::new();
    for n in 0..24 {
        let name = format!("c-{n:02}");
        let topic = CONTROL.repeat(1024);
        let body = json!({"name": name, "kind": "public", "topic": topic});
        let created = server.http().post("/channels", ann.token(), body).await;
        created.expect(201);
        wanted.push(name);
    }
    let mut ws = ann.connect(&server).await;
    let size = ws.welcome.to_string().len();
    assert!(size < 66_000, "{size} bytes");

    let first = ws.welcome.clone();
    let (mut got, mut next) = (names(&first["channels"]), first["channels_next"].clone());
    assert!(got.len() < wanted.len(), "welcome has all of them");
    while let Some(after) = next.as_str() {
        let page = ws.ask(json!({"type": "channels", "after": after})).await;
        assert_eq!(page["type"], "channels", "{page}");
        got.extend(names(&page["channels"]));
        next = page["next"].clone();
    }
    assert_eq!(got, wanted);

    let (mut got, mut path) = (Vec::new(), "/me".to_owned());
    loop {
        let page = server.http().get(&path, ann.token()).await.expect(200);
        assert!(page.body.len() < 66_000, "{} bytes", page.body.len());
        got.extend(names(&page.json()["channels"]));
        let Some(after) = page.json()["next"].as_str().map(str::to_owned) else {
            break;
        };
        path = format!("/me?limit=3&after={after}");
    }
    assert_eq!(got, wanted);
}

#[tokio::test]
async fn wrong_parameters_of_a_page_of_channels_are_refused() {
    let server = Server::start(MODE).await;
    let mut ws = Person::register(&server, "ann")
        .await
        .connect(&server)
        .await;
    for (frame, code) in [
        (json!({"type": "channels", "limit": 0}), "limit_invalid"),
        (json!({"type": "channels", "limit": 201}), "limit_invalid"),
        (json!({"type": "channels", "limit": "2"}), "field_invalid"),
        (
            json!({"type": "channels", "after": "No Name"}),
            "field_invalid",
        ),
    ] {
        assert_eq!(ws.refused(frame.clone()).await, code, "{frame}");
    }
    let page = ws.ask(json!({"type": "channels"})).await;
    assert_eq!(
        (&page["channels"], &page["next"]),
        (&json!([]), &json!(null))
    );
}

/// The answer of this type, as it came.
async fn text_of(ws: &mut Ws, kind: &str) -> String {
    let head = format!(r#"{{"type":"{kind}""#);
    loop {
        let text = within(ws.text()).await.expect("the session goes on");
        if text.starts_with(&head) {
            return text;
        }
    }
}

#[tokio::test]
async fn pages_of_history_stay_below_a_mebibyte_as_a_frame() {
    const MESSAGES: usize = 40;
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let text = CONTROL.repeat(10_000);
    let mut sent = Vec::new();
    for n in 0..MESSAGES {
        let id = format!("a-{n}");
        ws.say("general", &id, &text).await;
        sent.push(id);
    }
    ws.send(send_frame("general", "a-last", "x")).await;
    sent.push("a-last".to_owned());
    ws.of_type("ack").await;

    for first in ["after", "before", "around"] {
        let id = if first == "after" {
            "0"
        } else {
            "9223372036854775807"
        };
        let mut ask = json!({"type": "history", "channel": "general", "limit": 200, first: id});
        let mut got: Vec<String> = Vec::new();
        loop {
            ws.send(ask).await;
            let page = text_of(&mut ws, "history").await;
            assert!(page.len() < MIB, "{} bytes", page.len());
            let page: Value = serde_json::from_str(&page).expect("JSON");
            let ids = page["messages"].as_array().expect("messages").iter();
            let ids = ids.map(|m| m["client_msg_id"].as_str().expect("an id").to_owned());
            let older = first == "before";
            let at = if older { 0 } else { got.len() };
            got.splice(at..at, ids);
            if page["next"].is_null() {
                break;
            }
            let cursor = &page["next"];
            ask = json!({"type": "history", "channel": "general", "limit": 200, "cursor": cursor});
        }
        // Around the end there is only the older half of a page.
        let wanted = &sent[sent.len() - got.len()..];
        assert_eq!(got, wanted, "{first}");
        assert!(got.len() > 1, "{first}");
        assert!(first == "around" || got.len() == sent.len(), "{first}");
    }
}
