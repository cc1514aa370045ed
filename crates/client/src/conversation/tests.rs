use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;

const STALE: Duration = Duration::from_secs(240);

/// A conversation and its clock.
struct Rig {
    conversation: Conversation,
    now: Duration,
}

impl Rig {
    fn new() -> Rig {
        Rig {
            conversation: Conversation::new(4, STALE),
            now: Duration::from_secs(1_000),
        }
    }

    fn connect(&mut self) {
        let welcome = json!({"session": "s", "server": "a", "user": "ann", "ping_ms": 25000,
            "limits": {"frame_bytes": 300, "text_bytes": 200, "channels": 128}});
        let welcome = serde_json::from_value(welcome).expect("a welcome");
        self.conversation.connected(&welcome, self.now);
    }

    fn receive(&mut self, frame: Value) {
        let frame = crate::frame::Incoming::parse(&frame.to_string());
        self.conversation.receive(frame, self.now);
    }

    fn join(&mut self, after: Option<u64>) {
        let after = after.and_then(Id::from_u64);
        self.conversation.join(ops(), after, self.now);
    }

    fn post(&mut self, text: &str) -> String {
        self.put(Post::text(ops(), text))
    }

    /// Posts something; its `client_msg_id`.
    fn put(&mut self, post: Post) -> String {
        let id = post.client_msg_id.to_string();
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned();
        let pending = Pending::new(post, room.expect("free"));
        self.conversation.post(pending, self.now);
        id
    }

    /// Answers the join.
    fn joined(&mut self, at: u64) {
        let join = self.wrote_one();
        assert_eq!(join["type"], "join");
        self.receive(
            json!({"type": "joined", "ref": join["ref"], "channel": "ops",
            "at": at.to_string(), "members": 2, "resumed": join["after"].is_string()}),
        );
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.conversation.advance(self.now);
    }

    fn wrote(&mut self) -> Vec<Value> {
        let frames = self.conversation.frames.drain(..);
        frames
            .map(|f| serde_json::from_str(&f).expect("JSON"))
            .collect()
    }

    fn wrote_one(&mut self) -> Value {
        let mut frames = self.wrote();
        assert_eq!(frames.len(), 1, "{frames:?}");
        frames.remove(0)
    }

    fn texts(&mut self) -> Vec<String> {
        let frames = self.wrote();
        let texts = frames.iter().map(|f| f["text"].as_str().unwrap_or("-"));
        texts.map(str::to_owned).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        self.conversation.events.drain(..).collect()
    }
}

fn ops() -> ChannelName {
    ChannelName::parse("ops").expect("a name")
}

fn message(id: u64, sender: &str, client_msg_id: &str) -> Value {
    json!({"type": "message", "channel": "ops", "id": id.to_string(), "sender": sender,
        "sent_at": 1, "text": "hi", "client_msg_id": client_msg_id})
}

fn refusal(reference: &Value, code: &str, retry_after_ms: u64) -> Value {
    json!({"type": "error", "ref": reference, "channel": "ops",
        "error": {"code": code, "message": "no", "retry_after_ms": retry_after_ms}})
}

#[test]
fn cursor_starts_at_joined_and_follows_messages_and_events_but_not_acks() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.joined(10);
    rig.receive(json!({"type": "ack", "ref": 99, "id": "50"}));
    for (frame, cursor) in [
        (
            json!({"type": "typing", "channel": "ops", "user": "bob"}),
            10,
        ),
        (message(20, "bob", "x"), 20),
        (
            json!({"type": "edited", "channel": "ops", "event": "30", "id": "20", "text": "ho",
                "edited_at": 7}),
            30,
        ),
        (message(25, "bob", "y"), 30),
    ] {
        rig.receive(frame);
        rig.conversation.disconnected(rig.now);
        rig.connect();
        assert_eq!(rig.wrote_one()["after"], format!("{cursor:020}"));
    }
}

#[test]
fn sends_wait_for_the_join_and_go_out_in_order_up_to_the_window() {
    let mut rig = Rig::new();
    rig.join(Some(0));
    rig.connect();
    for text in ["1", "2", "3", "4", "5", "6"] {
        rig.post(text);
    }
    rig.joined(0);
    let sends = rig.wrote();
    assert_eq!(sends.len(), 4);
    rig.receive(json!({"type": "ack", "ref": sends[1]["ref"], "id": "7"}));
    assert_eq!(rig.texts(), ["5"]);
}

#[test]
fn what_was_not_acked_goes_out_again_in_order_under_the_same_id() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.joined(5);
    let ids = ["1", "2", "3"].map(|text| rig.post(text));
    let first = rig.wrote();
    rig.receive(json!({"type": "ack", "ref": first[1]["ref"], "id": "7"}));
    rig.conversation.disconnected(rig.now);
    rig.connect();
    rig.joined(9);
    let again = rig.wrote();
    let again: Vec<_> = again.iter().map(|f| f["client_msg_id"].clone()).collect();
    assert_eq!(again, [ids[0].as_str(), ids[2].as_str()]);
}

#[test]
fn after_a_long_absence_it_resumes_first_and_drops_what_it_sees_of_its_own() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.joined(5);
    let ids = ["1", "2"].map(|text| rig.post(text));
    rig.wrote();
    rig.conversation.disconnected(rig.now);
    rig.wait(STALE);
    rig.connect();
    rig.joined(40);
    let question = rig.wrote_one();
    assert_eq!(
        (&question["type"], &question["limit"]),
        (&json!("history"), &json!(1))
    );
    rig.receive(message(20, "ann", &ids[0]));
    rig.receive(message(21, "bob", &ids[1]));
    let mut newest = message(30, "bob", "z");
    rig.receive(
        json!({"type": "history", "ref": question["ref"], "channel": "ops",
        "messages": [newest.clone()], "next": null}),
    );
    assert_eq!(rig.texts(), [""; 0]);
    newest["type"] = json!("message");
    rig.events();
    rig.receive(newest);
    assert_eq!(rig.texts(), ["2"]);
}

#[test]
fn own_message_seen_in_a_resume_is_its_ack() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.joined(5);
    let id = rig.post("1");
    rig.wrote();
    rig.conversation.disconnected(rig.now);
    rig.wait(STALE);
    rig.connect();
    rig.joined(40);
    rig.events();
    rig.receive(message(20, "ann", &id));
    let events = rig.events();
    assert!(
        matches!(&events[..], [Event::Message { .. }, Event::Acked { id, duplicate: true, .. }]
        if id.as_u64() == 20)
    );
}

#[test]
fn refused_for_now_is_tried_again_when_the_server_said_and_holds_back_the_rest() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.joined(5);
    rig.post("1");
    let send = rig.wrote_one();
    rig.receive(refusal(&send["ref"], "rate_limited", 300));
    let last = rig.events().pop();
    assert!(
        matches!(&last, Some(Event::Deferred { refusal, .. }) if refusal.code == "rate_limited"),
        "{last:?}"
    );
    rig.post("2");
    assert_eq!(
        rig.conversation.next_due(),
        Some(rig.now + Duration::from_millis(300))
    );
    assert_eq!(rig.texts(), [""; 0]);
    rig.wait(Duration::from_millis(300));
    assert_eq!(rig.texts(), ["1", "2"]);
    assert_eq!(rig.conversation.next_due(), None);
}

#[test]
fn permanent_refusal_is_reported_once() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.joined(5);
    rig.events();
    let id = rig.post("1");
    let send = rig.wrote_one();
    for _ in 0..2 {
        rig.receive(refusal(&send["ref"], "idempotency_conflict", 0));
    }
    let events = rig.events();
    assert!(
        matches!(&events[..], [Event::Refused { client_msg_id, refusal, .. }]
        if client_msg_id.as_str() == id && refusal.code == "idempotency_conflict")
    );
}

#[test]
fn frame_over_the_servers_limit_is_not_sent() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.joined(5);
    rig.events();
    rig.post(&"x".repeat(300));
    rig.post("2");
    assert_eq!(rig.texts(), ["2"]);
    assert!(matches!(&rig.events()[..], [Event::Refused { refusal, .. }]
        if refusal.code == "message_too_large"));
}

#[test]
fn resume_that_fails_half_way_begins_again_at_the_cursor() {
    let mut rig = Rig::new();
    rig.join(Some(3));
    rig.connect();
    let join = rig.wrote_one();
    rig.receive(
        json!({"type": "joined", "ref": join["ref"], "channel": "ops", "at": "40",
        "members": 2, "resumed": true}),
    );
    rig.receive(message(12, "bob", "x"));
    rig.receive(refusal(&join["ref"], "history_unavailable", 2000));
    rig.wait(Duration::from_secs(2));
    assert_eq!(rig.wrote_one()["after"], format!("{:020}", 12));
}

#[test]
fn join_refused_for_good_leaves_the_channel_and_refuses_its_posts() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.post("1");
    let join = rig.wrote_one();
    rig.receive(refusal(&join["ref"], "channel_not_found", 0));
    let events = rig.events();
    assert!(
        matches!(&events[..], [Event::Refused { .. }, Event::Left { why: Leaving::Refused(r), .. }]
        if r.code == "channel_not_found")
    );
}

#[test]
fn ended_membership_is_not_joined_again_by_itself() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.joined(10);
    rig.events();
    rig.receive(json!({"type": "left", "channel": "ops"}));
    rig.post("late");
    let events = rig.events();
    assert!(
        matches!(
            &events[..],
            [
                Event::Left {
                    why: Leaving::MembershipEnded,
                    ..
                },
                Event::Refused { .. }
            ]
        ),
        "{events:?}"
    );
    rig.conversation.disconnected(rig.now);
    rig.connect();
    assert_eq!(rig.wrote(), [Value::Null; 0]);
    rig.join(None);
    assert_eq!(rig.wrote_one()["type"], "join");
}

#[test]
fn answer_to_an_earlier_leave_does_not_end_a_later_join() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.joined(10);
    rig.conversation.leave(&ops());
    let leave = rig.wrote_one();
    rig.join(None);
    rig.receive(json!({"type": "left", "ref": leave["ref"], "channel": "ops"}));
    rig.joined(11);
    rig.post("hi");
    assert_eq!(rig.texts(), ["hi"]);
}

#[test]
fn post_without_a_join_is_refused_here() {
    let mut rig = Rig::new();
    rig.connect();
    rig.post("1");
    assert_eq!(rig.texts(), [""; 0]);
    assert!(matches!(&rig.events()[..], [Event::Refused { refusal, .. }]
        if refusal.code == "not_a_member"));
}

#[test]
fn change_is_posted_as_often_as_a_send_and_told_with_its_event() {
    let mut rig = Rig::new();
    rig.join(None);
    rig.connect();
    rig.joined(10);
    let id = Id::from_u64(20).expect("small");
    let key = rig.put(Post::edit(ops(), id, "ho"));
    let wrote = rig.wrote_one();
    assert_eq!(
        (&wrote["type"], &wrote["text"]),
        (&json!("edit"), &json!("ho"))
    );
    assert_eq!(wrote["id"], id.to_string());
    rig.conversation.disconnected(rig.now);
    rig.connect();
    rig.joined(10);
    let again = rig.wrote_one();
    assert_eq!(again["client_msg_id"], wrote["client_msg_id"]);
    rig.events();
    rig.receive(
        json!({"type": "ack", "ref": again["ref"], "id": "20", "event": "30",
        "duplicate": true}),
    );
    rig.receive(
        json!({"type": "deleted", "channel": "ops", "event": "31", "id": "20",
        "deleted_at": 7}),
    );
    let events = rig.events();
    assert!(
        matches!(&events[..], [Event::Acked { client_msg_id, duplicate: true, .. },
            Event::Changed { change, .. }] if client_msg_id.as_str() == key && change.id == id),
        "{events:?}"
    );
}
