//! Messages that are changed while somebody is away, who then gets them from the tail or from the rows.

use integration_tests::{Person, Server, Ws};
use serde_json::{Value, json};

use crate::MODE;

/// A server with two people in `general`.
pub struct Stage {
    pub server: Server,
    pub ann: Person,
    pub bob: Person,
}

impl Stage {
    pub async fn set() -> Stage {
        Stage::with(&[]).await
    }

    pub async fn with(settings: &[(&str, &str)]) -> Stage {
        let server = Server::with(MODE, settings).await;
        let ann = Person::register(&server, "ann").await;
        let bob = Person::register(&server, "bob").await;
        Stage { server, ann, bob }
    }

    pub async fn ann(&self) -> Ws {
        self.ann.joined(&self.server, "general").await
    }

    pub async fn bob(&self) -> Ws {
        self.bob.joined(&self.server, "general").await
    }

    /// The message as a page of history has it.
    pub async fn stored(&self, id: &Value) -> Value {
        let history = self.ann.history(&self.server, "general").await;
        let found = history.into_iter().find(|message| message["id"] == *id);
        found.expect("a message of the channel")
    }
}

pub fn edit(id: &Value, text: &str) -> Value {
    json!({"type": "edit", "channel": "general", "id": id, "text": text})
}

pub fn delete(id: &Value) -> Value {
    json!({"type": "delete", "channel": "general", "id": id})
}

pub fn react(id: &Value, emoji: &str, on: bool) -> Value {
    json!({"type": "react", "channel": "general", "id": id, "emoji": emoji, "on": on})
}

/// Asks for a change that is accepted; its event.
pub async fn change(ws: &mut Ws, frame: Value) -> Value {
    let id = frame["id"].clone();
    let ack = ws.ask(frame).await;
    assert_eq!((&ack["type"], &ack["id"]), (&json!("ack"), &id), "{ack}");
    assert_eq!(ack["duplicate"], false, "{ack}");
    ack["event"].clone()
}

/// Sends a text; the message's id.
pub async fn say(ws: &mut Ws, client_msg_id: &str, text: &str) -> Value {
    ws.say("general", client_msg_id, text).await["id"].clone()
}

/// What somebody gets who comes back after what [`while_away`] does: each message once, in its final
/// state, and one event for each older one that changed.
async fn assert_resumed(ws: &mut Ws, cursor: &Value, missed: &[Value]) {
    ws.join("general", cursor.as_str()).await;
    for expected in missed {
        let frame = ws.next().await;
        let fields = expected.as_object().expect("fields");
        for (name, value) in fields {
            assert_eq!(frame[name], *value, "{name} of {frame}");
        }
    }
}

/// Changes and messages after two that are known; what is missed by who knows these.
async fn while_away(ws: &mut Ws, known: [&Value; 2]) -> Vec<Value> {
    let [first, second] = known;
    change(ws, edit(first, "first, edited")).await;
    let third = say(ws, "w-3", "thrid").await;
    let deleted = change(ws, delete(second)).await;
    let edited = change(ws, edit(first, "first, edited again")).await;
    let changed = change(ws, edit(&third, "third")).await;
    let fourth = say(ws, "w-4", "fourth").await;
    let fifth = say(ws, "w-5", "fifth").await;
    change(ws, delete(&fifth)).await;
    vec![
        json!({"type": "message", "id": third, "text": "third", "changed": changed}),
        json!({"type": "deleted", "id": second, "event": deleted}),
        json!({"type": "edited", "id": first, "event": edited, "text": "first, edited again"}),
        json!({"type": "message", "id": fourth, "text": "fourth", "changed": null}),
        json!({"type": "message", "id": fifth, "text": ""}),
    ]
}

#[tokio::test]
async fn who_was_away_gets_each_message_in_its_final_state_once() {
    let mut stage = Stage::set().await;
    let (mut ann, mut bob) = (stage.ann().await, stage.bob().await);
    let first = say(&mut ann, "a-1", "first").await;
    let second = say(&mut ann, "a-2", "second").await;
    assert_eq!(bob.messages(2).await[1]["id"], second);
    bob.close().await;
    let missed = while_away(&mut ann, [&first, &second]).await;
    let mut bob = stage.bob.connect(&stage.server).await;
    assert_resumed(&mut bob, &second, &missed).await;
    // Then live, and nothing twice.
    let mut last = json!({"type": "send", "channel": "general", "text": "last",
        "client_msg_id": "a-last", "ack": "persisted"});
    let last_id = ann.ask(last.take()).await["id"].clone();
    assert_eq!(bob.next().await["id"], last_id);

    // The same from the rows, without a tail.
    stage.server.kill_9().await;
    stage.server.restart().await;
    let mut bob = stage.bob.connect(&stage.server).await;
    let mut missed = missed;
    missed.push(json!({"type": "message", "id": last_id}));
    assert_resumed(&mut bob, &second, &missed).await;
    // Changes above the rows apply to them.
    let mut ann = stage.ann().await;
    let event = change(&mut ann, edit(&last_id, "last, edited")).await;
    assert_eq!(bob.next().await["event"], event);
    let stored = stage.stored(&last_id).await;
    assert_eq!(stored["text"], "last, edited");
    let mut late = stage.bob.connect(&stage.server).await;
    let edited = json!({"type": "edited", "id": last_id, "event": event, "text": "last, edited"});
    assert_resumed(&mut late, &last_id, &[edited]).await;
}

#[tokio::test]
async fn who_was_away_gets_the_reactions_of_a_known_message_once() {
    let mut stage = Stage::set().await;
    let (mut ann, mut bob) = (stage.ann().await, stage.bob().await);
    let id = say(&mut ann, "a-1", "hi").await;
    assert_eq!(bob.of_type("message").await["id"], id);
    bob.close().await;
    let mut bob = stage.bob().await;
    change(&mut ann, react(&id, "👍", true)).await;
    let own = change(&mut bob, react(&id, "🎉", true)).await;
    let edited = change(&mut ann, edit(&id, "ho")).await;
    let last = change(&mut ann, react(&id, "❤️", true)).await;
    let counts = json!({"👍": 1, "🎉": 1, "❤️": 1});
    let mut back = stage.bob.connect(&stage.server).await;
    let missed = [
        json!({"type": "reaction", "event": own, "user": "bob", "emoji": "🎉", "on": true}),
        json!({"type": "edited", "event": edited, "text": "ho"}),
        json!({"type": "reaction", "event": last, "id": id, "reactions": counts}),
    ];
    assert_resumed(&mut back, &id, &missed).await;

    let last_id = ann
        .ask(json!({"type": "send", "channel": "general", "text": "last",
        "client_msg_id": "a-last", "ack": "persisted"}))
        .await["id"]
        .clone();
    stage.server.kill_9().await;
    stage.server.restart().await;
    let mut back = stage.bob.connect(&stage.server).await;
    let missed = [
        json!({"type": "edited", "event": edited, "text": "ho"}),
        json!({"type": "reaction", "event": last, "id": id, "user": "ann", "emoji": "❤️",
            "reactions": counts, "my_reactions": ["🎉"]}),
        json!({"type": "message", "id": last_id}),
    ];
    assert_resumed(&mut back, &id, &missed).await;
    // The message is in no tail; what it has is counted nevertheless.
    let mut ann = stage.ann().await;
    change(&mut ann, react(&id, "👍", false)).await;
    let counts = json!({"🎉": 1, "❤️": 1});
    assert_eq!(back.of_type("reaction").await["reactions"], counts);
}
