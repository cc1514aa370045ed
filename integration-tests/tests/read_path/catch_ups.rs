//! After a long outage of history many partitions have to read the log again, a few at a time.

use std::sync::atomic::Ordering::Relaxed;

use integration_tests::eventually;
use lakechat_core::chat::log::record::Body;
use lakechat_core::domain::{ChannelName, Id, UserName};

use crate::server::{Server, Shape};

const CHANNELS: usize = 24;
const MESSAGES: u64 = 40;

/// What may be read again at a time, and by one reader.
const AT_ONCE: usize = 2;
const READ_AHEAD_BYTES: usize = 2 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_fell_behind_catch_up_a_few_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let shape = Shape {
        partitions: 8,
        tail_bytes: 8_000,
        batch_rows: 10,
        linger_ms: 0,
        outbox_frames: 1024,
    };
    let server = Server::start(folder.path(), &shape).await;
    let ann = UserName::parse("ann").expect("a plain name");
    let name = |n: usize| ChannelName::parse(&format!("c{n}")).expect("a plain name");
    let channels: Vec<_> = (0..CHANNELS).map(name).collect();
    server.history.set_open(false);
    for channel in &channels {
        server.make_channel(channel).await;
        for n in 0..MESSAGES {
            let body = Body::Message {
                text: n.to_string(),
                reply_to: None,
                file: None,
            };
            server.publish(channel, &ann, None, body, 0);
        }
    }
    server.settle().await;
    let behind = channels.iter().filter(|channel| server.lacks(channel));
    assert!(behind.count() > AT_ONCE, "the tails are small");
    server.history.set_open(true);
    for channel in &channels {
        eventually("its messages are stored", async || {
            let last = server.history.inner.last_message_number(channel, Id::MAX);
            let last = last.await.expect("readable");
            (last.map(|(_, n)| n) == Some(MESSAGES)).then_some(())
        })
        .await;
    }
    let background = &server.fickle.background;
    assert!((1..=AT_ONCE).contains(&background.most.load(Relaxed)));
    assert!((1..=READ_AHEAD_BYTES).contains(&background.most_bytes.load(Relaxed)));
    server.assert_nothing_stopped();
    server.stop().await;
}
