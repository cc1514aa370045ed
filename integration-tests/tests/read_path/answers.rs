//! The frames that answer a send when the log or history fails: each of them,
//! byte for byte but for the text that is for people.

use std::sync::Arc;

use integration_tests::{eventually, within};
use lakechat_core::chat::clock::boot_ms;
use lakechat_core::chat::hub::outbox::{Outbox, OutboxBounds};
use lakechat_core::chat::log::Log;
use lakechat_core::chat::log::pending::{DEADLINE_MS, PERSIST_DEADLINE_MS, Waiter};
use lakechat_core::chat::log::record::{Body, Record};
use lakechat_core::chat::wire::AckLevel;
use lakechat_core::domain::{Id, Partition};
use lakechat_core::ports::Broker;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fickle::Publishing;
use crate::stage::Stage;

fn ack(reference: i64, id: Id, duplicate: bool, level: &str) -> String {
    format!(
        r#"{{"type":"ack","ref":{reference},"id":"{id}","duplicate":{duplicate},"level":"{level}"}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn record_a_minute_from_the_logs_clock_is_clock_skew_and_the_retry_is_the_first() {
    let mut stage = Stage::set().await;
    for (n, skew_ms) in [(-7, 61_000), (0, -61_000)] {
        let key = format!("x{n}");
        stage.server.fickle.set_skew_ms(skew_ms);
        stage.send(n, &key, json!({})).await;
        let expected = format!(
            r#"{{"type":"error","ref":{n},"error":{{"code":"clock_skew","message":"…","retry_after_ms":5000}}}}"#
        );
        assert_eq!(stage.answer().await, expected);
        stage.server.fickle.set_skew_ms(0);
        stage.send(n, &key, json!({})).await;
        let id = stage.message().await;
        assert_eq!(stage.answer().await, ack(n, id, false, "accepted"));
    }
    stage.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_whose_first_try_left_the_window_is_expired_by_the_log_and_by_the_own_window() {
    let mut stage = Stage::with(1 << 20, 601_000).await;
    stage.server.fickle.set_publishing(Publishing::IsHeld);
    stage.send(1, "x", json!({})).await;
    stage.is_held().await;
    // Another server had the first try, and a retry of it after five minutes.
    stage.comes_from_elsewhere("x", 600_900).await;
    stage.comes_from_elsewhere("x", 300_000).await;
    stage.server.fickle.release();
    let expected = |n| {
        format!(
            r#"{{"type":"error","ref":{n},"error":{{"code":"expired","message":"…","field":"client_msg_id"}}}}"#
        )
    };
    assert_eq!(stage.answer().await, expected(1));
    stage.send(2, "x", json!({})).await;
    assert_eq!(stage.answer().await, expected(2));
    stage.send(3, "y", json!({})).await;
    let id = stage.message().await;
    assert_eq!(stage.answer().await, ack(3, id, false, "accepted"));
    stage.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn send_without_report_or_record_for_15_s_is_broker_unavailable_once() {
    let mut stage = Stage::set().await;
    stage.server.fickle.set_publishing(Publishing::IsHeld);
    let before_ms = boot_ms();
    stage.send(7, "x", json!({})).await;
    stage.is_held().await;
    stage.server.log.tick(before_ms + DEADLINE_MS, 0);
    stage.assert_no_frame().await;
    stage.server.log.tick(boot_ms() + DEADLINE_MS + 1, 0);
    let expected = r#"{"type":"error","ref":7,"error":{"code":"broker_unavailable","message":"…","retry_after_ms":1000}}"#;
    assert_eq!(stage.answer().await, expected);
    // It was written after all: everybody sees it, and the retry gets the id.
    stage.server.fickle.release();
    let id = stage.message().await;
    stage.send(8, "x", json!({})).await;
    assert_eq!(stage.answer().await, ack(8, id, true, "accepted"));
    stage.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn send_that_the_log_reports_as_failed_is_broker_unavailable_and_a_thousand_are_a_flood() {
    let mut stage = Stage::set().await;
    for publishing in [Publishing::IsRefused, Publishing::IsLost] {
        stage.server.fickle.set_publishing(publishing);
        stage.send(7, "x", json!({})).await;
        let expected = r#"{"type":"error","ref":7,"error":{"code":"broker_unavailable","message":"…","retry_after_ms":1000}}"#;
        assert_eq!(stage.answer().await, expected);
    }
    for n in 3..=1_000 {
        stage.send(n, "x", json!({})).await;
    }
    let mut expected = String::new();
    while !expected.starts_with(r#"{"type":"closing""#) {
        expected = stage.answer().await;
    }
    let closing = r#"{"type":"closing","code":4029,"reason":"flood","retry_after_ms":10000}"#;
    assert_eq!(expected, closing);
    assert_eq!(within(stage.client.text()).await, None);
    stage.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_is_not_in_history_after_30_s_is_persist_timeout_with_its_id() {
    let mut stage = Stage::set().await;
    stage.server.history.set_open(false);
    let before_ms = boot_ms();
    let persisted = json!({"ack": "persisted"});
    stage.send(7, "x", persisted.clone()).await;
    let id = stage.message().await;
    eventually("its ack waits for history", async || {
        let state = stage.server.log.lock(Partition(0));
        (state.persisting.len() == 1).then_some(())
    })
    .await;
    stage.server.log.tick(before_ms + PERSIST_DEADLINE_MS, 0);
    stage.assert_no_frame().await;
    stage
        .server
        .log
        .tick(boot_ms() + PERSIST_DEADLINE_MS + 1, 0);
    let expected = format!(
        r#"{{"type":"error","ref":7,"id":"{id}","error":{{"code":"persist_timeout","message":"…","limit":30000}}}}"#
    );
    assert_eq!(stage.answer().await, expected);
    stage.send(8, "x", json!({})).await;
    assert_eq!(stage.answer().await, ack(8, id, true, "accepted"));
    stage.send(9, "x", persisted).await;
    stage.assert_no_frame().await;
    stage.server.history.set_open(true);
    assert_eq!(stage.answer().await, ack(9, id, true, "persisted"));
    stage.server.stop().await;
}

/// A change that was published before this server saw the deletion is refused by the log.
#[tokio::test(flavor = "multi_thread")]
async fn change_of_a_message_that_the_log_has_deleted_is_message_not_found() {
    let stage = Stage::set().await;
    let outbox = Arc::new(Outbox::new(OutboxBounds {
        frames: 10,
        bytes: 10_000,
    }));
    let target = Id::from_u64(4_711 << 22).expect("63 bits");
    let text = "too late".into();
    for (n, body) in [
        (1, Body::Delete { target }),
        (2, Body::Edit { target, text }),
    ] {
        let record = Record {
            channel: stage.channel.clone(),
            private: false,
            sender: stage.ann.clone(),
            client_msg_id: Some(Stage::key(&n.to_string())),
            digest: body.digest(),
            received_at_ms: stage.server.fickle.now_ms(),
            body,
        };
        publish(&stage.server.log, &record, &outbox, n);
    }
    let mut frames = Vec::new();
    while frames.len() < 2 {
        let taken = std::future::poll_fn(|cx| outbox.poll_take(cx, 10_000, &mut frames));
        within(taken).await.expect("it is open");
    }
    let acked: Value = serde_json::from_str(frames[0].as_str()).expect("JSON");
    assert_eq!((&acked["type"], &acked["ref"]), (&json!("ack"), &json!(1)));
    let expected = r#"{"type":"error","ref":2,"error":{"code":"message_not_found","message":"The message was deleted."}}"#;
    assert_eq!(frames[1].as_str(), expected);
    stage.server.stop().await;
}

fn publish(log: &Log, record: &Record, outbox: &Arc<Outbox>, reference: i64) {
    let waiter = Waiter::Frame {
        outbox: outbox.clone(),
        reference: Some(reference),
        level: AckLevel::Accepted,
        since: std::time::Instant::now(),
    };
    log.publish(record, waiter, || Ok(())).expect("it is taken");
}

/// A stage whose tail keeps nothing: all that was said is in history.
async fn forgetful() -> (Stage, Id) {
    let mut stage = Stage::with(0, 0).await;
    stage.send(1, "x", json!({"ack": "persisted"})).await;
    let id = stage.message().await;
    assert_eq!(stage.answer().await, ack(1, id, false, "persisted"));
    stage.server.log.tick(boot_ms(), 0);
    (stage, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_history_unavailable_while_history_is_away() {
    let (mut stage, _) = forgetful().await;
    let history = json!({"type": "history", "ref": 3, "channel": "ops"});
    let refused = |retry_ms| {
        format!(
            r#"{{"type":"error","ref":3,"error":{{"code":"history_unavailable","message":"…","retry_after_ms":{retry_ms}}}}}"#
        )
    };
    // It can't be read.
    stage.server.history.set_readable(false);
    stage.client.send(history.clone()).await;
    assert_eq!(stage.answer().await, refused(1000));
    let mut other = Client::connect(&stage.server, &stage.token, 1 << 16).await;
    other.join("ops", Some("0".into())).await;
    let joined = within(other.next()).await.expect("it lives");
    assert_eq!(joined["resumed"], true, "{joined}");
    let broken_off = within(other.next()).await.expect("it lives");
    assert_eq!(broken_off["error"]["code"], "history_unavailable");
    assert_eq!(
        (&broken_off["ref"], &broken_off["channel"]),
        (&json!(1), &json!("ops"))
    );
    stage.server.history.set_readable(true);
    // Whether all is there that was acked is unknown.
    stage.server.fickle.set_telling_ends(false);
    stage.client.send(history.clone()).await;
    assert_eq!(stage.answer().await, refused(1000));
    stage.server.fickle.set_telling_ends(true);
    // The tail let go of what is not stored yet.
    stage.server.history.set_open(false);
    stage.send(1, "y", json!({})).await;
    let id = stage.message().await;
    assert_eq!(stage.answer().await, ack(1, id, false, "accepted"));
    stage.client.send(history.clone()).await;
    assert_eq!(stage.answer().await, refused(5000));
    stage.server.history.set_open(true);
    eventually("it is stored", async || {
        (!stage.server.lacks(&stage.channel)).then_some(())
    })
    .await;
    stage.client.send(history).await;
    let page: Value = serde_json::from_str(&stage.answer().await).expect("JSON");
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(2), "{page}");
    stage.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_of_a_reply_is_acked_while_its_parent_cannot_be_read() {
    let (mut stage, parent) = forgetful().await;
    let reply = json!({"reply_to": parent.to_string(), "ack": "persisted"});
    stage.send(2, "reply", reply.clone()).await;
    let id = stage.message().await;
    assert_eq!(stage.answer().await, ack(2, id, false, "persisted"));
    stage.server.log.tick(boot_ms(), 0);
    stage.server.history.set_readable(false);
    stage.send(3, "another", reply.clone()).await;
    let expected = r#"{"type":"error","ref":3,"error":{"code":"history_unavailable","message":"…","retry_after_ms":1000}}"#;
    assert_eq!(stage.answer().await, expected);
    stage.send(4, "reply", reply).await;
    assert_eq!(stage.answer().await, ack(4, id, true, "persisted"));
    stage.server.stop().await;
}
