//! Coming back: exactly what was missed, once, in order, while others go on sending.

use integration_tests::{Person, Server, Ws, within, ws::send_frame};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::MODE;

/// A channel in which somebody goes on sending.
struct Busy {
    more: watch::Sender<bool>,
    /// The ids of what was acked.
    sending: JoinHandle<Vec<String>>,
}

impl Busy {
    fn begin(mut ws: Ws, name: &'static str) -> Busy {
        let (more, wanted) = watch::channel(true);
        let sending = tokio::spawn(async move {
            let mut ids = Vec::new();
            while *wanted.borrow() {
                let ack = ws
                    .say("general", &format!("{name}-{}", ids.len()), "live")
                    .await;
                ids.push(id_of(&ack));
            }
            ids
        });
        Busy { more, sending }
    }

    async fn end(self) -> Vec<String> {
        self.more.send(false).expect("it listens");
        within(self.sending).await.expect("all acked")
    }
}

fn id_of(frame: &Value) -> String {
    frame["id"].as_str().expect("an id").to_owned()
}

/// Sends many, pipelined; the ids in order.
async fn send_many(ws: &mut Ws, name: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let batch = (count - ids.len()).min(200);
        for n in 0..batch {
            let id = format!("{name}-{}", ids.len() + n);
            ws.feed(send_frame("general", &id, "missed")).await;
        }
        ws.flush().await;
        for _ in 0..batch {
            ids.push(id_of(&ws.of_type("ack").await));
        }
    }
    ids
}

/// Resumes after an id while somebody sends; it must see just what lies behind it.
async fn resume_sees(server: &Server, after: &str, before: &[String]) {
    let person = Person::register(server, &format!("u{}", rand::random::<u32>())).await;
    let busy = Busy::begin(person.joined(server, "general").await, "busy");
    let mut ws = person.connect(server).await;
    assert_eq!(ws.join("general", Some(after)).await["resumed"], true);
    let mut seen = Vec::new();
    while seen.len() < before.len() + 20 {
        seen.push(id_of(&ws.of_type("message").await));
    }
    let sent = busy.end().await;
    let mut all = before.to_vec();
    all.extend(sent);
    while seen.len() < all.len() {
        seen.push(id_of(&ws.of_type("message").await));
    }
    assert!(seen == all, "{} seen, {} sent", seen.len(), all.len());
    // Nothing comes after it but what is sent after it.
    ws.send(send_frame("general", "last", "and no more")).await;
    assert_eq!(ws.of_type("message").await["client_msg_id"], "last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_after_one_message_and_from_the_beginning() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let ids = send_many(&mut ws, "a", 2).await;
    resume_sees(&server, &ids[0], &ids[1..]).await;
    let ids: Vec<_> = ann
        .history(&server, "general")
        .await
        .iter()
        .map(id_of)
        .collect();
    resume_sees(&server, "0", &ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_after_ten_thousand_messages() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let ids = send_many(&mut ws, "a", 10_001).await;
    resume_sees(&server, &ids[0], &ids[1..]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_after_a_kill_comes_from_what_is_stored() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let ids = send_many(&mut ws, "a", 1_000).await;
    server.kill_9().await;
    server.restart().await;
    resume_sees(&server, &ids[99], &ids[100..]).await;
}

#[tokio::test]
async fn join_without_after_begins_at_its_own_moment() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let old = send_many(&mut ws, "a", 3).await;
    let mut late = ann.connect(&server).await;
    let joined = late.join("general", None).await;
    assert_eq!(joined["resumed"], false);
    assert!(joined["at"].as_str().expect("an id") >= &*old[2]);
    let new = ws.say("general", "a-new", "hello").await;
    assert_eq!(late.of_type("message").await["id"], new["id"]);
    let again = late.join("general", Some("0")).await;
    assert_eq!(
        again["resumed"], false,
        "a joined channel sends nothing more"
    );
    let newer = ws.say("general", "a-newer", "hello").await;
    assert_eq!(late.of_type("message").await["id"], newer["id"]);
}

#[tokio::test]
async fn left_channel_is_silent_and_resumes_from_its_cursor() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let mut other = ann.joined(&server, "general").await;
    let seen = ws.say("general", "a-1", "seen").await;
    other.of_type("message").await;
    let left = other
        .ask(serde_json::json!({"type": "leave", "channel": "general"}))
        .await;
    assert_eq!(
        (&left["type"], &left["channel"]),
        (&"left".into(), &"general".into())
    );
    let missed = ws.say("general", "a-2", "missed").await;
    other.join("general", seen["id"].as_str()).await;
    assert_eq!(other.of_type("message").await["id"], missed["id"]);
}
