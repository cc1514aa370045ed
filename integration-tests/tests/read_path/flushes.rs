//! How the archivers of a server store: together, and soon if somebody waits.

use integration_tests::eventually;
use lakechat_core::domain::Partition;
use serde_json::json;
use tempfile::TempDir;

use crate::marks::{SHAPE, channels, publish_ten};
use crate::server::{Server, Shape};
use crate::stage::Stage;

const HERE: Partition = Partition(0);
const THERE: Partition = Partition(1);

/// A server with two partitions that store five times a second.
async fn server() -> (Server, TempDir) {
    let shape = Shape {
        batch_rows: 1_000,
        linger_ms: 200,
        ..SHAPE
    };
    let folder = tempfile::tempdir().expect("a folder");
    (Server::start(folder.path(), &shape).await, folder)
}

/// Whether history is complete up to the last record of a partition.
fn is_archived(server: &Server, partition: Partition) -> bool {
    let last = server.log.lock(partition).last_id();
    server.log.mark(partition).id == last
}

async fn all_is_archived(server: &Server) {
    eventually("everything is archived", async || {
        (is_archived(server, HERE) && is_archived(server, THERE)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_all_partitions_are_one_call() {
    let (server, _folder) = server().await;
    let channels = channels(&server);
    // The moment to store may fall between the records of the two partitions.
    eventually("both partitions are stored by one call", async || {
        let (appends, rows) = (server.history.appends(), server.history.rows());
        channels.iter().for_each(|c| publish_ten(&server, c));
        server.settle().await;
        all_is_archived(&server).await;
        assert_eq!(server.history.rows() - rows, 20);
        (server.history.appends() - appends == 1).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_refused_hold_up_their_own_partition_alone() {
    let (server, _folder) = server().await;
    let [refused, stored] = channels(&server);
    server.history.refuse_rows_of(&refused);
    for channel in [&refused, &stored] {
        publish_ten(&server, channel);
    }
    server.settle().await;
    let reason = eventually("it is reported", async || server.log.archive_stopped()).await;
    assert!(reason.starts_with("partition 0:"), "{reason}");
    eventually("the other one is archived", async || {
        is_archived(&server, THERE).then_some(())
    })
    .await;
    assert_eq!(
        (server.log.mark(HERE).offset, server.history.rows()),
        (0, 10)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_move_less_often_than_rows_are_stored_and_reach_the_end() {
    let (server, _folder) = server().await;
    let channels = channels(&server);
    let rounds = 8;
    for n in 1..=rounds {
        channels.iter().for_each(|c| publish_ten(&server, c));
        server.settle().await;
        eventually("the rows are stored", async || {
            (server.history.rows() == n * 20).then_some(())
        })
        .await;
    }
    all_is_archived(&server).await;
    let marks = server.history.marks_written();
    assert!(
        marks < 2 * rounds,
        "{marks} marks for {rounds} rounds of two partitions"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ack_of_level_persisted_does_not_wait_for_the_next_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let shape = Shape {
        linger_ms: 600_000,
        ..Stage::shape(1 << 20)
    };
    let mut stage = Stage::on(Server::start(folder.path(), &shape).await, folder, 0).await;
    for n in 1..=3 {
        stage
            .send(n, &format!("x{n}"), json!({"ack": "persisted"}))
            .await;
        let id = stage.message().await;
        let ack = format!(
            r#"{{"type":"ack","ref":{n},"id":"{id}","duplicate":false,"level":"persisted"}}"#
        );
        assert_eq!(stage.answer().await, ack);
    }
    stage.server.stop().await;
}
