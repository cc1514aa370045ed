//! Resumes that wait for a client's link hold up nothing else of its session.

use integration_tests::within;
use lakechat_core::chat::log::record::Body;
use lakechat_core::domain::{ChannelName, UserName};
use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{Server, Shape};

const CHANNELS: usize = 4;
const MISSED: usize = 200;

/// Bytes between the two ends: a few messages.
const LINK: usize = 2_000;

/// Frames that the client sends while it reads nothing; more than the link holds.
const SENT: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn four_resumes_over_a_slow_link_leave_the_session_reading_and_miss_nothing() {
    let shape = Shape {
        partitions: 3,
        tail_bytes: 1 << 20,
        batch_rows: 100,
        linger_ms: 0,
        outbox_frames: 256,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &shape).await;
    let ann = UserName::parse("ann").expect("a plain name");
    let token = server.register(&ann).await.expose().clone();
    let names: Vec<_> = (0..CHANNELS).map(|n| format!("c{n}")).collect();
    for name in &names {
        let channel = ChannelName::parse(name).expect("a plain name");
        server.make_channel(&channel).await;
        for n in 0..MISSED {
            let body = Body::Message {
                text: n.to_string(),
                reply_to: None,
                file: None,
            };
            server.publish(&channel, &ann, None, body, 0);
        }
    }
    server.settle().await;
    let mut client = Client::connect(&server, &token, LINK).await;
    for name in &names {
        assert!(client.join(name, Some("0".into())).await);
    }
    for n in 0..SENT {
        let frame = json!({"type": "leave", "ref": n, "channel": "elsewhere"});
        assert!(client.send(frame).await, "it reads on");
    }
    let (mut got, mut answered) = (vec![Vec::new(); CHANNELS], 0);
    while answered < SENT || got.iter().any(|of| of.len() < MISSED) {
        let frame = within(client.next()).await.expect("the session goes on");
        match frame["type"].as_str() {
            Some("message") => {
                let at = names.iter().position(|name| frame["channel"] == *name);
                got[at.expect("a channel of ours")].push(text_of(&frame));
            }
            Some("left") => {
                assert_eq!(frame["ref"], answered);
                answered += 1;
            }
            _ => assert_eq!(frame["resumed"], true, "{frame}"),
        }
    }
    let wanted: Vec<_> = (0..MISSED).map(|n| n.to_string()).collect();
    assert!(got.iter().all(|of| *of == wanted), "{got:?}");
    server.stop().await;
}

fn text_of(frame: &Value) -> String {
    frame["text"].as_str().expect("a text").to_owned()
}
