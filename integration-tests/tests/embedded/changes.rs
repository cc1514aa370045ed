//! Messages that are changed after they were sent: live and in history, over frames and HTTP, and who may.

use integration_tests::http;
use reqwest::Method;
use serde_json::{Value, json};

use crate::both_modes::changes::{Stage, change, delete, edit, react, say};

/// The time in an id.
fn ms(id: &Value) -> u64 {
    let id: u64 = id.as_str().expect("an id").parse().expect("digits");
    (id >> 22) + 1_704_067_200_000
}

#[tokio::test]
async fn edit_and_deletion_reach_everybody_and_history() {
    let stage = Stage::set().await;
    let (mut ann, mut bob) = (stage.ann().await, stage.bob().await);
    let id = say(&mut ann, "a-1", "helo").await;
    assert_eq!(bob.of_type("message").await["id"], id);

    let event = change(&mut ann, edit(&id, "hello")).await;
    let edited = json!({"type": "edited", "channel": "general", "event": event, "id": id,
        "text": "hello", "edited_at": ms(&event)});
    assert_eq!(bob.next().await, edited);
    let stored = stage.stored(&id).await;
    let expected = json!({"id": id, "sender": "ann", "sent_at": ms(&id), "text": "hello",
        "client_msg_id": "a-1", "edited_at": ms(&event), "changed": event});
    assert_eq!(stored, expected);

    let event = change(&mut ann, delete(&id)).await;
    let deleted = json!({"type": "deleted", "channel": "general", "event": event, "id": id,
        "deleted_at": ms(&event)});
    assert_eq!(bob.next().await, deleted);
    let stored = stage.stored(&id).await;
    assert_eq!((&stored["text"], &stored["changed"]), (&json!(""), &event));
    assert_eq!(stored["deleted_at"], ms(&event));
    for frame in [edit(&id, "back"), delete(&id)] {
        assert_eq!(ann.refused(frame).await, "message_not_found");
    }
}

#[tokio::test]
async fn retry_of_a_change_does_not_undo_what_happened_since() {
    let stage = Stage::set().await;
    let mut ann = stage.ann().await;
    let id = say(&mut ann, "a-1", "one").await;
    let mut first = edit(&id, "two");
    first["client_msg_id"] = json!("e-1");
    let event = change(&mut ann, first.clone()).await;
    change(&mut ann, edit(&id, "three")).await;
    let ack = ann.ask(first.clone()).await;
    assert_eq!((&ack["event"], &ack["duplicate"]), (&event, &json!(true)));
    assert_eq!(stage.stored(&id).await["text"], "three");
    first["text"] = json!("four");
    assert_eq!(ann.refused(first).await, "idempotency_conflict");
}

#[tokio::test]
async fn change_that_is_not_allowed_is_refused_by_name() {
    let stage = Stage::set().await;
    let (mut ann, mut bob) = (stage.ann().await, stage.bob().await);
    let id = say(&mut ann, "a-1", "hi").await;
    for frame in [edit(&id, "ho"), delete(&id)] {
        assert_eq!(bob.refused(frame).await, "not_author");
    }
    for (frame, code) in [
        (edit(&id, &"x".repeat(16_385)), "message_too_large"),
        (edit(&id, ""), "field_invalid"),
        (
            json!({"type": "edit", "channel": "general", "id": id}),
            "field_missing",
        ),
        (
            json!({"type": "delete", "channel": "general"}),
            "field_missing",
        ),
        (edit(&json!("1"), "x"), "message_not_found"),
        (
            json!({"type": "delete", "channel": "elsewhere", "id": id}),
            "not_a_member",
        ),
    ] {
        assert_eq!(ann.refused(frame).await, code);
    }
    assert_eq!(stage.stored(&id).await["changed"], Value::Null);
}

#[tokio::test]
async fn sender_may_change_a_message_for_a_while_and_an_owner_for_ever() {
    let stage = Stage::with(&[("LAKECHAT_CHAT__EDIT_WINDOW_SECONDS", "1")]).await;
    stage.ann.create_channel(&stage.server, "anns").await;
    let mut ann = stage.ann.joined(&stage.server, "anns").await;
    let mut bob = stage.bob.joined(&stage.server, "anns").await;
    let id = bob.say("anns", "b-1", "hi").await["id"].clone();
    let of_ann = ann.say("anns", "a-1", "hi").await["id"].clone();
    let edit = |id: &Value, n: usize| {
        let text = format!("edit {n}");
        json!({"type": "edit", "channel": "anns", "id": id, "text": text})
    };
    for n in 0.. {
        let answer = bob.ask(edit(&id, n)).await;
        if answer["type"] == "error" {
            assert_eq!(answer["error"]["code"], "edit_window_passed");
            assert_eq!(answer["error"]["limit"], 1);
            break;
        }
        assert_eq!(answer["type"], "ack", "{answer}");
    }
    let delete = json!({"type": "delete", "channel": "anns", "id": id});
    assert_eq!(bob.refused(delete.clone()).await, "edit_window_passed");
    assert_eq!(ann.ask(edit(&of_ann, 1)).await["type"], "ack");
    assert_eq!(ann.refused(edit(&id, 1)).await, "not_author");
    assert_eq!(ann.ask(delete).await["type"], "ack");
}

#[tokio::test]
async fn reactions_are_counted_per_person_and_emoji() {
    let stage = Stage::set().await;
    let (mut ann, mut bob) = (stage.ann().await, stage.bob().await);
    let id = say(&mut ann, "a-1", "hi").await;
    assert_eq!(bob.of_type("message").await["id"], id);
    let mut told = Vec::new();
    for (by_ann, emoji, on, counts) in [
        (true, "👍", true, json!({"👍": 1})),
        (false, "👍", true, json!({"👍": 2})),
        (false, "👍", true, json!({"👍": 2})),
        (false, "🎉", true, json!({"👍": 2, "🎉": 1})),
        (true, "👍", false, json!({"👍": 1, "🎉": 1})),
        (false, "🎉", false, json!({"👍": 1})),
    ] {
        let mut frame = react(&id, emoji, on);
        frame["ref"] = json!(1);
        let (ws, user) = if by_ann {
            (&mut ann, "ann")
        } else {
            (&mut bob, "bob")
        };
        ws.send(frame).await;
        let reaction = ann.of_type("reaction").await;
        let expected = json!({"type": "reaction", "channel": "general", "event": reaction["event"],
            "id": id, "user": user, "emoji": emoji, "on": on, "reactions": counts});
        assert_eq!(reaction, expected);
        told.push(reaction);
    }
    let stored = stage.stored(&id).await;
    assert_eq!(stored["reactions"], json!({"👍": 1}));
    assert_eq!(stored["my_reactions"], Value::Null, "ann's view");
    assert_eq!(stored["changed"], told[5]["event"]);

    change(&mut ann, delete(&id)).await;
    assert_eq!(stage.stored(&id).await["reactions"], Value::Null);
    assert_eq!(
        bob.refused(react(&id, "👍", true)).await,
        "message_not_found"
    );
}

#[tokio::test]
async fn http_sends_and_changes_as_the_frames_do() {
    let stage = Stage::set().await;
    let (mut ann, mut bob) = (stage.ann().await, stage.bob().await);
    let call = async |method: Method, path: &str, body: Value, key: Option<&str>| {
        let path = format!("/channels/general/messages{path}");
        let mut request = stage.server.http().request(method, &path);
        request = request.bearer_auth(stage.ann.token()).json(&body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        http::send(request).await
    };
    let hi = json!({"text": "hi", "ack": "persisted"});
    let sent = call(Method::POST, "", hi.clone(), Some("k-1"))
        .await
        .expect(201)
        .json();
    let id = sent["id"].clone();
    assert_eq!(
        sent,
        json!({"id": id, "duplicate": false, "level": "persisted"})
    );
    let message = bob.of_type("message").await;
    assert_eq!(
        (&message["id"], &message["client_msg_id"]),
        (&id, &json!("k-1"))
    );
    let again = call(Method::POST, "", hi, Some("k-1"))
        .await
        .expect(200)
        .json();
    assert_eq!((&again["id"], &again["duplicate"]), (&id, &json!(true)));
    let other = json!({"text": "ho"});
    let conflict = call(Method::POST, "", other.clone(), Some("k-1")).await;
    assert_eq!(conflict.expect(409).code(), "idempotency_conflict");

    let path = format!("/{}", id.as_str().expect("an id"));
    let edited = call(Method::PATCH, &path, other, Some("k-2"))
        .await
        .expect(200)
        .json();
    assert_eq!(edited["id"], id);
    assert_eq!(bob.next().await["event"], edited["event"]);
    let reaction = format!("{path}/reactions/%F0%9F%91%8D");
    for (method, counts) in [
        (Method::PUT, json!({"\u{1f44d}": 1})),
        (Method::DELETE, json!({})),
    ] {
        call(method, &reaction, json!({}), None).await.expect(200);
        assert_eq!(bob.next().await["reactions"], counts);
    }
    let deleted = call(Method::DELETE, &path, json!({}), None)
        .await
        .expect(200)
        .json();
    assert_eq!(bob.next().await["event"], deleted["event"]);

    for (method, path, code, status) in [
        (Method::DELETE, path.as_str(), "message_not_found", 404),
        (Method::DELETE, "/x", "id_invalid", 400),
        (Method::PUT, "/1/reactions/yes", "emoji_invalid", 400),
    ] {
        let refused = call(method, path, json!({}), None).await.expect(status);
        assert_eq!(refused.code(), code);
    }
    let of_bob = say(&mut bob, "b-1", "mine").await;
    let path = format!("/{}", of_bob.as_str().expect("an id"));
    let refused = call(Method::DELETE, &path, json!({}), None)
        .await
        .expect(403);
    assert_eq!(refused.code(), "not_author");
    assert_eq!(ann.of_type("deleted").await["id"], id);
}
