//! Messages are numbered 1, 2, 3, … in their channel, whatever else is in a batch.

use integration_tests::eventually;
use lakechat_core::chat::log::record::Body;
use lakechat_core::domain::{ChannelName, Id, Partition, UserName};
use lakechat_core::ports::History;
use lakechat_core::ports::history::MessageRange;

use crate::server::{Server, Shape};

/// More than the archiver remembers.
const CHANNELS: usize = 10_050;

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_numbered_on_across_ten_thousand_others_in_one_batch() {
    let shape = Shape {
        partitions: 1,
        tail_bytes: 256 << 20,
        batch_rows: CHANNELS + 1,
        linger_ms: 60_000,
        outbox_frames: 64,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &shape).await;
    let user = UserName::parse("ann").expect("a plain name");
    let named = |n: usize| ChannelName::parse(&format!("c{n}")).expect("a plain name");
    for n in (0..CHANNELS).chain([0]) {
        let body = Body::Message {
            text: n.to_string(),
            reply_to: None,
            file: None,
        };
        server.publish(&named(n), &user, None, body, 0);
    }
    server.settle().await;
    let last = server.log.lock(Partition(0)).fold.last_id();
    eventually("everything is stored", async || {
        let mark = server.log.mark(Partition(0));
        (mark.id == last).then_some(())
    })
    .await;
    let range = MessageRange::Oldest {
        after: Id::ZERO,
        before: Id::MAX,
    };
    let rows = server.history.messages(&named(0), range, 10).await;
    let rows = rows.expect("history is there");
    assert_eq!(rows.iter().map(|row| row.n).collect::<Vec<_>>(), [1, 2]);
    server.stop().await;
}
