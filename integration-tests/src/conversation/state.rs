//! What a client knows of a channel, by the rules that the documents have for clients.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// The messages of a channel, as one user sees them.
#[derive(Clone, Debug)]
pub struct Conversation {
    user: String,
    cursor: String,
    messages: BTreeMap<String, Value>,
}

impl Conversation {
    /// Before everything.
    pub fn of(user: &str) -> Conversation {
        Conversation {
            user: user.to_owned(),
            cursor: "0".repeat(20),
            messages: BTreeMap::new(),
        }
    }

    /// From the messages of history.
    pub fn of_page(messages: &[Value]) -> Conversation {
        let mut state = Conversation::of("");
        messages.iter().for_each(|message| state.message(message));
        state
    }

    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The messages that aren't deleted and are as wanted.
    pub fn ids(&self, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
        let there = self.messages.iter();
        let there = there.filter(|(_, m)| m["deleted_at"].is_null() && wanted(m));
        there.map(|(id, _)| id.clone()).collect()
    }

    pub fn apply(&mut self, frame: &Value) {
        match frame["type"].as_str() {
            Some("message") => {
                self.advance(&frame["id"]);
                self.message(frame);
            }
            Some("edited" | "deleted" | "reaction") => {
                self.advance(&frame["event"]);
                self.change(frame);
            }
            _ => {}
        }
    }

    fn advance(&mut self, to: &Value) {
        let to = to.as_str().expect("an id").to_owned();
        self.cursor = self.cursor.clone().max(to);
    }

    fn message(&mut self, message: &Value) {
        let mut known = json!({"my_reactions": BTreeSet::<String>::new(), "reactions": {}});
        for name in [
            "sender",
            "text",
            "edited_at",
            "deleted_at",
            "changed",
            "reactions",
            "my_reactions",
        ] {
            if !message[name].is_null() {
                known[name] = message[name].clone();
            }
        }
        sort(&mut known["my_reactions"]);
        let id = message["id"].as_str().expect("an id").to_owned();
        self.messages.insert(id, known);
    }

    fn change(&mut self, event: &Value) {
        let id = event["id"].as_str().expect("an id");
        let message = self.messages.get_mut(id);
        let message = message.unwrap_or_else(|| panic!("unknown to {}: {event}", self.user));
        if message["changed"].as_str() >= event["event"].as_str() {
            // Known already.
            return;
        }
        message["changed"] = event["event"].clone();
        for name in [
            "text",
            "edited_at",
            "deleted_at",
            "reactions",
            "my_reactions",
        ] {
            if !event[name].is_null() {
                message[name] = event[name].clone();
            }
        }
        match event["type"].as_str() {
            Some("deleted") => {
                message.as_object_mut().expect("fields").remove("edited_at");
                message["text"] = "".into();
                message["reactions"] = json!({});
                message["my_reactions"] = json!([]);
            }
            Some("reaction") if event["user"] == self.user => {
                let mine = message["my_reactions"].as_array_mut().expect("a list");
                mine.retain(|emoji| *emoji != event["emoji"]);
                if event["on"] == true {
                    mine.push(event["emoji"].clone());
                }
            }
            _ => {}
        }
        sort(&mut message["my_reactions"]);
    }

    pub fn assert_is(&self, other: &Conversation, what: &str) {
        for (id, message) in &other.messages {
            let own = self.messages.get(id);
            assert_eq!(own, Some(message), "{id} of {}, {what}", self.user);
        }
        assert_eq!(self.messages.len(), other.messages.len(), "{what}");
    }
}

fn sort(emojis: &mut Value) {
    let emojis = emojis.as_array_mut().expect("a list");
    emojis.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
}
