//! The mark as an assertion: what history was written from is this log.

use integration_tests::eventually;
use lakechat_core::chat::log::record::Body;
use lakechat_core::domain::{ChannelName, Code, Id, Partition, UserName};
use lakechat_core::ports::broker::LogRecord;
use lakechat_core::ports::history::Mark;

use crate::server::{Server, Shape};

pub const SHAPE: Shape = Shape {
    partitions: 2,
    tail_bytes: 1 << 20,
    batch_rows: 10,
    linger_ms: 0,
    outbox_frames: 64,
};

fn user() -> UserName {
    UserName::parse("ann").expect("a plain name")
}

/// A channel in each partition.
pub fn channels(server: &Server) -> [ChannelName; 2] {
    let named = (0..).map(|n| ChannelName::parse(&format!("c{n}")).expect("a plain name"));
    let of = |p| {
        let mut all = named.clone();
        let found = all.find(|c| server.log.partition_of(c) == Partition(p));
        found.expect("there are infinitely many")
    };
    [of(0), of(1)]
}

pub fn publish_ten(server: &Server, channel: &ChannelName) {
    for n in 0..10 {
        let body = Body::Message {
            text: n.to_string(),
            reply_to: None,
            file: None,
        };
        server.publish(channel, &user(), None, body, 0);
    }
}

pub async fn refusals(server: &Server, channel: &ChannelName) -> (Option<Code>, Option<Code>) {
    server.make_channel(channel).await;
    let read = server.chat.find_up_to_date(channel.as_str()).await;
    let read = read.err().map(|p| p.code);
    let found = server.chat.find(channel.as_str()).await.expect("it exists");
    let joined = server.chat.ensure_member(&found, &user()).await;
    (joined.err().map(|p| p.code), read)
}

/// A folder whose log has ten records in each partition, none of them stored.
async fn folder_with_a_log() -> (tempfile::TempDir, [ChannelName; 2]) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &SHAPE).await;
    server.history.set_open(false);
    let channels = channels(&server);
    channels.iter().for_each(|c| publish_ten(&server, c));
    server.settle().await;
    server.stop().await;
    (folder, channels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_of_another_log_stops_its_partition_alone() {
    for offset in [1, 5, 10_000] {
        let (folder, channels) = folder_with_a_log().await;
        let mark = Mark {
            offset,
            id: Id::from_u64(4_711 << 22).expect("63 bits"),
            time_ms: 1,
        };
        // The one who writes it has read the log to its end and stored it, but for this mark.
        let embedded = integration_tests::on_disk::open(folder.path()).expect("ours");
        let written = embedded.history().advance_mark(Partition(0), mark).await;
        written.expect("written");
        drop(embedded);
        let server = Server::start(folder.path(), &SHAPE).await;
        assert!(server.log.stopped().is_some());
        let refused = (
            Some(Code::BrokerUnavailable),
            Some(Code::HistoryUnavailable),
        );
        assert_eq!(refusals(&server, &channels[0]).await, refused);
        assert_eq!(refusals(&server, &channels[1]).await, (None, None));
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_mark_that_is_learned_later_stops_its_partition() {
    let (folder, channels) = folder_with_a_log().await;
    let server = Server::start(folder.path(), &SHAPE).await;
    server.history.set_open(false);
    let wrong = |offset| Mark {
        offset,
        id: Id::from_u64(4_711 << 22).expect("63 bits"),
        time_ms: 1,
    };
    let end = server.ends().await[0];
    server.log.learn_mark(Partition(0), wrong(end + 1));
    assert_eq!(server.log.stopped(), None);
    publish_ten(&server, &channels[0]);
    eventually("the fold has met the mark", async || {
        server.log.stopped().map(drop)
    })
    .await;
    assert!(server.log.stopped().is_some());
    let refused = (
        Some(Code::BrokerUnavailable),
        Some(Code::HistoryUnavailable),
    );
    assert_eq!(refusals(&server, &channels[0]).await, refused);
    server.stop().await;
}

/// The archiver is as fast as it likes: it may store what is folded and not yet delivered.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_within_a_batch_that_is_being_delivered_stops_nothing() {
    let (folder, _) = folder_with_a_log().await;
    let embedded = integration_tests::on_disk::open(folder.path()).expect("ours");
    let bounds = lakechat_core::chat::log::MemoryBounds {
        tail_bytes: 1 << 20,
        window_bytes: 1 << 20,
    };
    let broker = embedded.broker();
    let mut reader = broker.reader(&[(Partition(0), 0)]).expect("readable");
    let mut records: Vec<LogRecord> = Vec::new();
    reader
        .poll(integration_tests::DEADLINE, &mut records)
        .expect("readable");
    let log = lakechat_core::chat::log::Log::new(broker, bounds);
    let end = records.last().expect("ten records").offset + 1;
    let (entries, _) = log.fold(Partition(0), records);
    let third = &entries[2];
    let mark = Mark {
        offset: third.offset + 1,
        id: third.id,
        time_ms: third.append_ms,
    };
    log.learn_mark(Partition(0), mark);
    log.advance(Partition(0), end);
    assert_eq!(log.stopped(), None);
}
