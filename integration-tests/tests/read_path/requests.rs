//! What a session makes the server look up counts as its user's requests.

use integration_tests::within;
use lakechat_core::domain::UserName;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::Server;
use crate::stage::Stage;

/// With a burst of five requests for each user.
async fn stage() -> Stage {
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let shape = Stage::shape(1);
    let limited = Server::start_on(folder.path(), &shape, |_, settings| {
        settings.requests_per_user = 1;
    });
    Stage::on(limited.await, folder, 0).await
}

/// The codes with which a frame is refused, sent again and again.
async fn refusals(stage: &mut Stage, frame: &Value) -> Vec<String> {
    let mut codes = Vec::new();
    for _ in 0..20 {
        assert!(stage.client.send(frame.clone()).await);
        let answer = within(stage.client.next()).await.expect("it lives");
        assert_eq!(answer["type"], "error", "{answer}");
        codes.push(answer["error"]["code"].to_string());
    }
    codes
}

fn count(codes: &[String], code: &str) -> usize {
    let quoted = format!("{code:?}");
    codes.iter().filter(|found| **found == quoted).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_whose_references_are_looked_up_and_refreshes_count_as_requests() {
    let file = "00000000-0000-4000-8000-000000000000";
    let bob = UserName::parse("bob").expect("a plain name");
    for (field, value, code) in [
        ("file_id", file, "attachment_invalid"),
        ("reply_to", "00000000000000000001", "parent_not_found"),
        ("token", "", "field_invalid"),
    ] {
        let mut stage = stage().await;
        let mut frame =
            json!({"type": "send", "channel": "ops", "text": "hi", "client_msg_id": "x"});
        frame[field] = json!(value);
        if field == "token" {
            let token = stage.server.register(&bob).await.expose().clone();
            frame = json!({"type": "refresh", "token": token});
        }
        let codes = refusals(&mut stage, &frame).await;
        assert!((1..15).contains(&count(&codes, code)), "{codes:?}");
        assert!(count(&codes, "rate_limited") > 0, "{codes:?}");
        stage.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_to_what_is_in_memory_count_as_no_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let shape = Stage::shape(1 << 20);
    let limited = Server::start_on(folder.path(), &shape, |_, settings| {
        settings.requests_per_user = 1;
    });
    let mut stage = Stage::on(limited.await, folder, 0).await;
    stage.send(1, "parent", json!({})).await;
    let parent: Value = serde_json::from_str(&stage.answer().await).expect("JSON");
    for n in 0..20 {
        let reply = json!({"reply_to": parent["id"]});
        stage.send(n, &format!("reply-{n}"), reply).await;
        let ack = stage.answer().await;
        assert!(ack.starts_with(r#"{"type":"ack""#), "{ack}");
    }
    stage.server.stop().await;
}
