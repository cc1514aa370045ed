//! One session over the real parts, with a log and a history that do as the test wants.

use integration_tests::{eventually, within};
use lakechat_core::chat::log::record::Body;
use lakechat_core::domain::{ChannelName, ClientMsgId, Id, Role, UserName};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checks::id_in;
use crate::client::Client;
use crate::server::{Server, Shape};

/// Ann's session, joined to a channel.
pub struct Stage {
    pub server: Server,
    pub client: Client,
    pub token: String,
    pub channel: ChannelName,
    pub ann: UserName,
    _folder: TempDir,
}

impl Stage {
    /// With a tail that has room for everything, and one partition.
    pub async fn set() -> Stage {
        Stage::with(1 << 20, 0).await
    }

    pub fn shape(tail_bytes: usize) -> Shape {
        Shape {
            partitions: 1,
            tail_bytes,
            batch_rows: 10,
            linger_ms: 0,
            outbox_frames: 1024,
        }
    }

    /// `age_ms` ago, by the log's clock, she became a member.
    pub async fn with(tail_bytes: usize, age_ms: u64) -> Stage {
        let shape = Stage::shape(tail_bytes);
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), &shape).await;
        Stage::on(server, folder, age_ms).await
    }

    /// The same, on a server of another shape.
    pub async fn on(server: Server, folder: TempDir, age_ms: u64) -> Stage {
        let ann = UserName::parse("ann").expect("a plain name");
        let channel = ChannelName::parse("ops").expect("a plain name");
        let token = server.register(&ann).await.expose().clone();
        server.make_channel(&channel).await;
        server.fickle.set_skew_ms(-(age_ms as i64));
        let member = Body::Member {
            user: ann.clone(),
            role: Role::Member,
        };
        server.publish(&channel, &ann, None, member, age_ms);
        server.settle().await;
        server.fickle.set_skew_ms(0);
        eventually("she can be looked up", async || {
            (!server.lacks(&channel)).then_some(())
        })
        .await;
        let mut client = Client::connect(&server, &token, 1 << 16).await;
        client.join("ops", None).await;
        let joined = within(client.next()).await.expect("it lives");
        assert_eq!(joined["type"], "joined", "{joined}");
        Stage {
            server,
            client,
            token,
            channel,
            ann,
            _folder: folder,
        }
    }

    pub async fn send(&mut self, reference: i64, client_msg_id: &str, more: Value) {
        let mut frame = json!({"type": "send", "ref": reference, "channel": "ops", "text": "hi",
            "client_msg_id": client_msg_id});
        let more = more.as_object().expect("fields").clone();
        frame.as_object_mut().expect("an object").extend(more);
        assert!(self.client.send(frame).await);
    }

    /// The next frame that is no message, and of an error the text for people left out.
    pub async fn answer(&mut self) -> String {
        loop {
            let text = within(self.client.text()).await.expect("it lives");
            let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
            match frame["type"].as_str() {
                Some("message") => {}
                Some("error") => {
                    let message = frame["error"]["message"].to_string();
                    assert!(message.len() > 20, "{text}");
                    return text.replace(&message, r#""…""#);
                }
                _ => return text,
            }
        }
    }

    /// The id of the next message.
    pub async fn message(&mut self) -> Id {
        let frame = within(self.client.next()).await.expect("it lives");
        assert_eq!(frame["type"], "message", "{frame}");
        id_in(&frame)
    }

    /// Whatever was to be told by now has been told once this is answered.
    pub async fn assert_no_frame(&mut self) {
        self.client.leave("elsewhere").await;
        let left = r#"{"type":"left","ref":2,"channel":"elsewhere"}"#;
        assert_eq!(self.answer().await, left);
    }

    pub fn key(name: &str) -> ClientMsgId {
        ClientMsgId::parse(name).expect("plain")
    }

    /// A message in the log, by way of some server, received and appended so long ago.
    pub async fn comes_from_elsewhere(&self, client_msg_id: &str, age_ms: u64) {
        self.server.fickle.set_skew_ms(-(age_ms as i64));
        let key = Some(Stage::key(client_msg_id));
        self.server
            .publish(&self.channel, &self.ann, key, message("hi"), age_ms);
        self.server.settle().await;
        self.server.fickle.set_skew_ms(0);
    }

    pub async fn is_held(&self) {
        eventually("the send is on its way", async || {
            (self.server.fickle.held() == 1).then_some(())
        })
        .await;
    }
}

fn message(text: &str) -> Body {
    Body::Message {
        text: text.into(),
        reply_to: None,
        file: None,
    }
}
