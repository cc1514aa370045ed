//! The memory of the tails, which all partitions share.

use integration_tests::eventually;
use lakechat_core::chat::log::record::Body;
use lakechat_core::domain::{ChannelName, Partition, UserName};

use crate::marks::{SHAPE, channels};
use crate::server::{Server, Shape};

fn publish_long(server: &Server, channel: &ChannelName, count: usize) {
    let ann = UserName::parse("ann").expect("a plain name");
    for _ in 0..count {
        let body = Body::Message {
            text: "x".repeat(1_000),
            reply_to: None,
            file: None,
        };
        server.publish(channel, &ann, None, body, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_records_of_one_partition_make_room_for_unarchived_ones_of_another() {
    const LIMIT: usize = 100_000;
    let folder = tempfile::tempdir().expect("a folder");
    let shape = Shape {
        tail_bytes: LIMIT,
        ..SHAPE
    };
    let server = Server::start(folder.path(), &shape).await;
    let [busy, quiet] = channels(&server);
    let bytes = |p| server.log.lock(Partition(p)).tail.bytes();
    publish_long(&server, &quiet, 30);
    server.settle().await;
    eventually("all is stored", async || {
        (server.log.lag() == 0).then_some(())
    })
    .await;
    let kept = bytes(1);
    server.history.set_open(false);
    publish_long(&server, &busy, 30);
    server.settle().await;
    // It has more than its share, and both together had more than the limit.
    assert!(bytes(0) > LIMIT / 2 && kept + bytes(0) > LIMIT);
    assert!(bytes(1) < kept && bytes(0) + bytes(1) <= LIMIT);
    assert_eq!(server.log.lock(Partition(0)).tail.count_from(0), 30);
    server.history.set_open(true);
    server.stop().await;
}
