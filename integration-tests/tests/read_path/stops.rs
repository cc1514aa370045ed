//! What stops for good, and what goes on by itself once its cause is gone.

use std::time::Duration;

use integration_tests::eventually;
use lakechat_core::domain::{Code, Partition};
use lakechat_core::ports::{History, PortError};
use serde_json::json;

use crate::marks::{SHAPE, channels, publish_ten, refusals};
use crate::server::{Server, Shape};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn marks_that_are_refused_for_a_while_stop_nothing() {
    let stage = Stage::set().await;
    let log = &stage.server.log;
    let refused = PortError::broken("history", "a right is missing");
    log.learn_marks(Err(refused)).expect_err("it is told on");
    stage.server.assert_nothing_stopped();
    let marks = stage.server.history.marks().await;
    log.learn_marks(marks).expect("they are readable again");
    stage.server.assert_nothing_stopped();
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_of_another_log_stop_every_partition() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &SHAPE).await;
    let adopted = PortError::stops("history", None, "the log was adopted anew");
    let told = server.log.learn_marks(Err(adopted));
    told.expect_err("it is told on");
    let reason = server.log.stopped().expect("stopped");
    assert!(reason.contains("adopted anew"), "{reason}");
    let refused = (
        Some(Code::BrokerUnavailable),
        Some(Code::HistoryUnavailable),
    );
    for channel in channels(&server) {
        assert_eq!(refusals(&server, &channel).await, refused);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_partition_stops_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &SHAPE).await;
    let channels = channels(&server);
    channels.iter().for_each(|c| publish_ten(&server, c));
    server.settle().await;
    server.fickle.stop_reading(Partition(0));
    let reason = eventually("it is stopped", async || server.log.stopped()).await;
    assert_eq!(reason, "partition 0: log failed: its offset is gone");
    let refused = (
        Some(Code::BrokerUnavailable),
        Some(Code::HistoryUnavailable),
    );
    assert_eq!(refusals(&server, &channels[0]).await, refused);
    assert_eq!(refusals(&server, &channels[1]).await, (None, None));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_lost_before_they_are_archived_stop_their_partition() {
    let folder = tempfile::tempdir().expect("a folder");
    let forgetful = Shape {
        tail_bytes: 1,
        ..SHAPE
    };
    let server = Server::start(folder.path(), &forgetful).await;
    let channels = channels(&server);
    server.history.set_open(false);
    (0..3).for_each(|_| publish_ten(&server, &channels[0]));
    server.settle().await;
    let ends = server.ends().await;
    server.fickle.keep_from(ends[0]);
    server.history.set_open(true);
    let reason = eventually("it is stopped", async || server.log.stopped()).await;
    let begin = format!(
        "partition 0: log failed: the log begins at offset {}",
        ends[0]
    );
    assert!(reason.starts_with(&begin), "{reason}");
    assert!(server.log.mark(Partition(0)).offset < ends[0]);
    assert_eq!(refusals(&server, &channels[1]).await, (None, None));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_refused_for_a_while_are_stored_later() {
    let mut stage = Stage::set().await;
    let stored = async |stage: &Stage| {
        let partition = Partition(0);
        let end = stage.server.ends().await[partition.index()];
        let is_stored = async || (stage.server.log.mark(partition).offset == end).then_some(());
        eventually("everything is stored", is_stored).await;
    };
    stage.send(1, "a", json!({})).await;
    stage.answer().await;
    stored(&stage).await;
    stage.server.history.set_refusing(true);
    stage.send(2, "b", json!({})).await;
    let ack = stage.answer().await;
    assert!(ack.starts_with(r#"{"type":"ack","ref":2"#), "{ack}");
    let log = stage.server.log.clone();
    let reason = eventually("it is told", async || log.archive_stopped()).await;
    assert_eq!(reason, "partition 0: history failed: a right is missing");
    stage.send(3, "c", json!({})).await;
    stage.answer().await;
    stage.server.history.set_refusing(false);
    stored(&stage).await;
    stage.server.assert_nothing_stopped();
    let newest = log.mark(Partition(0)).id;
    let above = lakechat_core::domain::Id::from_u64(newest.as_u64() + 1).expect("63 bits");
    let history = &stage.server.history;
    let last = history.last_message_number(&stage.channel, above).await;
    assert_eq!(last.expect("readable").map(|(_, n)| n), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn unarchived_records_near_retention_alarm_and_then_refuse_sends() {
    const MINUTE: u64 = 60_000;
    let mut stage = Stage::with(1 << 20, 100 * MINUTE).await;
    let log = stage.server.log.clone();
    let tick = || log.tick(lakechat_core::chat::clock::boot_ms(), 300_000);
    stage.server.fickle.keep_for(Duration::from_secs(100 * 60));
    let history = stage.server.history.clone();
    history.set_open(false);
    for (age, alarms, answer) in [
        (40, false, r#"{"type":"ack","ref":1,"#),
        (55, true, r#"{"type":"ack","ref":1,"#),
        (
            95,
            true,
            r#"{"type":"error","ref":1,"error":{"code":"broker_unavailable""#,
        ),
    ] {
        history.set_open(true);
        eventually("all is stored", async || (log.lag() == 0).then_some(())).await;
        history.set_open(false);
        let name = format!("waits-{age}");
        stage.comes_from_elsewhere(&name, age * MINUTE).await;
        tick();
        let told = log.archive_late().map(|(told, _)| told);
        assert_eq!(told.is_some(), alarms, "{told:?}");
        if let Some(told) = told {
            let text = format!("partition 0: records appended {age} min ago are not archived yet");
            assert!(told.starts_with(&text), "{told}");
            assert!(told.contains("keeps records for 100 min"), "{told}");
        }
        stage.send(1, &format!("sent-{age}"), json!({})).await;
        let told = stage.answer().await;
        assert!(told.starts_with(answer), "{told}");
    }
    history.set_open(true);
    eventually("all is stored", async || (log.lag() == 0).then_some(())).await;
    tick();
    assert_eq!(log.archive_late(), None);
    stage.send(2, "sent-95", json!({})).await;
    assert!(
        stage
            .answer()
            .await
            .starts_with(r#"{"type":"ack","ref":2,"#)
    );
}
