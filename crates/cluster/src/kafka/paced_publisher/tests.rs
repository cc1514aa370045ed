use super::super::producer::tests::{Cluster, PATIENCE, cluster, read};
use super::*;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::PublishFailure;

const ROOM: usize = 64 << 20;

fn record(ticket: u64, value: impl Into<bytes::Bytes>) -> OutgoingRecord {
    OutgoingRecord {
        partition: Partition(0),
        key: "ops".into(),
        value: value.into(),
        ticket,
    }
}

#[test]
fn records_under_load_wait_and_are_written_in_order_at_the_latest_at_the_end() {
    let Cluster {
        mock: _mock,
        settings,
        publisher,
        failed,
    } = cluster();
    let paced = PacedPublisher::start(publisher, ROOM).unwrap();
    let (mut count, started) = (0, Instant::now());
    let mut waited = 0;
    while waited < 100 {
        assert!(started.elapsed() < PATIENCE);
        paced.publish(record(count, count.to_string())).unwrap();
        count += 1;
        waited += usize::from(paced.waiting.state().held.len() > 1);
    }
    drop(paced);
    let values = read(&settings, count as usize);
    assert!(values.into_iter().eq((0..count).map(|n| n.to_string())));
    assert!(failed.try_recv().is_err());
}

#[test]
fn record_alone_does_not_wait() {
    let cluster = cluster();
    let paced = PacedPublisher::start(cluster.publisher, ROOM).unwrap();
    for ticket in 0..3 {
        paced.publish(record(ticket, "x")).unwrap();
        assert!(paced.waiting.state().held.is_empty());
    }
}

#[test]
fn record_that_the_producer_refuses_after_its_wait_is_reported_as_refused() {
    let Cluster {
        mock,
        publisher,
        failed,
        ..
    } = cluster();
    mock.broker_down(1).unwrap();
    let paced = PacedPublisher::start(publisher, ROOM).unwrap();
    let (mut ticket, started) = (0, Instant::now());
    let refused = loop {
        assert!(started.elapsed() < PATIENCE);
        // The producer's queue gets full soon. What it refuses at once is refused to the caller.
        drop(paced.publish(record(ticket, vec![b'x'; 10_000])));
        ticket += 1;
        if let Ok(PublishFailure {
            refused: true,
            reason,
            ..
        }) = failed.try_recv()
        {
            break reason;
        }
    };
    assert!(refused.contains("Queue full"), "{refused}");
}

#[test]
fn records_beyond_the_limit_are_refused() {
    let cluster = cluster();
    let paced = PacedPublisher::start(cluster.publisher, 1_000).unwrap();
    let started = Instant::now();
    // The producer's own queue may get full, too.
    let mut refused = String::new();
    while !refused.contains("too many records wait") {
        assert!(started.elapsed() < PATIENCE, "{refused}");
        if let Err(error) = paced.publish(record(0, vec![b'x'; 600])) {
            refused = error.to_string();
        }
    }
}
