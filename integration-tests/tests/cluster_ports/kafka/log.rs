//! Records: their order, and what is told when some are gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use integration_tests::contract::{Backend, DEADLINE, eventually};
use integration_tests::on_kafka::{OnKafka, admin, connect, delete_below, fresh, options};
use lakechat_cluster::kafka::KafkaSettings;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{LogReader, LogRecord, OutgoingRecord};
use lakechat_core::ports::{Broker, PortError};
use rdkafka::admin::{AlterConfig, ResourceSpecifier};

const PARTITION: Partition = Partition(2);

fn publish(broker: &dyn Broker, n: u64, bytes: usize) -> Result<(), PortError> {
    broker.publish(OutgoingRecord {
        partition: PARTITION,
        key: "ops".into(),
        value: format!("{}{n}", "0".repeat(bytes)).into(),
        ticket: n,
    })
}

fn number(record: &LogRecord) -> u64 {
    let text = std::str::from_utf8(&record.value).expect("a number");
    text.parse().expect("a number")
}

/// Reads until so many records were read.
fn read(reader: &mut dyn LogReader, count: usize) -> Result<Vec<u64>> {
    let (mut records, started) = (Vec::new(), Instant::now());
    while records.len() < count {
        ensure!(
            started.elapsed() < DEADLINE,
            "read {} of {count}",
            records.len()
        );
        reader.poll(Duration::from_millis(100), &mut records)?;
    }
    Ok(records.iter().map(number).collect())
}

/// Polls until the reader says that it can't go on.
fn broken(reader: &mut dyn LogReader) -> Result<String> {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        match reader.poll(Duration::from_millis(100), &mut Vec::new()) {
            Err(PortError::Broken { reason, .. } | PortError::Stops { reason, .. }) => {
                return Ok(reason.to_string());
            }
            Ok(()) | Err(PortError::Unavailable { .. }) => {}
        }
    }
    bail!("the reader goes on")
}

async fn reader_at(backend: &OnKafka, offset: u64) -> Result<Box<dyn LogReader>> {
    let broker = backend.broker();
    let opening = move || broker.reader(&[(PARTITION, offset)]);
    Ok(tokio::task::spawn_blocking(opening).await??)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sends_without_a_pause_keep_their_order() -> Result<()> {
    let backend = fresh().await?;
    let mut reader = reader_at(&backend, 0).await?;
    for n in 0..10_000 {
        publish(&*backend.broker, n, 300)?;
    }
    let seen = read(&mut *reader, 10_000)?;
    assert!(seen.into_iter().eq(0..10_000));
    assert_eq!(reader.position(PARTITION), 10_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_never_behind_a_record_that_was_read() -> Result<()> {
    let backend = fresh().await?;
    let mut reader = reader_at(&backend, 0).await?;
    let broker = backend.broker();
    let writing =
        tokio::task::spawn_blocking(move || (0..2_000).try_for_each(|n| publish(&*broker, n, 300)));
    let mut records = Vec::new();
    while records.len() < 2_000 {
        reader.poll(Duration::from_millis(100), &mut records)?;
        let ends = backend.broker.end_offsets().await?.all()?;
        assert!(reader.position(PARTITION) <= ends[PARTITION.index()]);
    }
    writing.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_queue_refuses_is_not_written() -> Result<()> {
    let backend = fresh().await?;
    let mut reader = reader_at(&backend, 0).await?;
    let settings = KafkaSettings {
        queue_bytes: 64 << 10,
        ..backend.topics.settings()
    };
    let broker = connect(settings).await?;
    broker.on_publish_failure(Arc::new(|failed| panic!("{failed:?}")));
    let (mut taken, mut refused) = (HashSet::new(), 0);
    for n in 0..1_000 {
        match publish(&broker, n, 10_000) {
            Ok(()) => drop(taken.insert(n)),
            Err(PortError::Unavailable { .. }) => refused += 1,
            Err(other) => return Err(other.into()),
        }
    }
    ensure!(refused > 0 && !taken.is_empty(), "{refused} refused");
    let seen = read(&mut *reader, taken.len())?;
    assert!(seen.is_sorted());
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), taken);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_large_is_refused_at_once() -> Result<()> {
    let backend = fresh().await?;
    let refused = publish(&*backend.broker, 1, 2_000_000);
    ensure!(
        matches!(refused, Err(PortError::Unavailable { .. })),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_deleted_below_a_reader_are_told() -> Result<()> {
    let backend = fresh().await?;
    for n in 0..100 {
        publish(&*backend.broker, n, 10)?;
    }
    eventually("all are written", async || {
        Ok(backend.broker.end_offsets().await?.all()?[PARTITION.index()] == 100)
    })
    .await?;
    let topic = backend.topics.messages();
    let mut reader = reader_at(&backend, 10).await?;
    delete_below(&topic, PARTITION, 60).await?;
    let told = broken(&mut *reader)?;
    let expected =
        format!("partition 2 of topic {topic} keeps offsets 60 to 100, and 10 was to be read");
    ensure!(told.starts_with(&expected), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_beyond_the_end_is_told() -> Result<()> {
    let backend = fresh().await?;
    publish(&*backend.broker, 1, 10)?;
    let told = broken(&mut *reader_at(&backend, 5_000).await?)?;
    ensure!(told.contains("5000 was to be read"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_under_a_reader_is_told() -> Result<()> {
    let backend = fresh().await?;
    let mut reader = reader_at(&backend, 0).await?;
    publish(&*backend.broker, 1, 10)?;
    read(&mut *reader, 1)?;
    let topic = backend.topics.messages();
    admin()?.delete_topics(&[&topic], &options()).await?;
    let told = broken(&mut *reader)?;
    ensure!(told.contains(&topic), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_stamped_by_their_senders_are_told() -> Result<()> {
    let backend = fresh().await?;
    let mut reader = reader_at(&backend, 0).await?;
    publish(&*backend.broker, 1, 10)?;
    read(&mut *reader, 1)?;
    let topic = backend.topics.messages();
    let alter = AlterConfig::new(ResourceSpecifier::Topic(&topic));
    let alter = alter.set("message.timestamp.type", "CreateTime");
    admin()?.alter_configs([&alter], &options()).await?;
    // The broker goes by it some time after it was told.
    let broker = backend.broker();
    let told = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        loop {
            publish(&*broker, 2, 10)?;
            match reader.poll(Duration::from_millis(100), &mut Vec::new()) {
                Err(PortError::Stops {
                    partition: Some(PARTITION),
                    reason,
                    ..
                }) => return Ok(reason.to_string()),
                _ => ensure!(started.elapsed() < DEADLINE, "the reader goes on"),
            }
        }
    });
    let told = told.await??;
    ensure!(
        told.contains("kafka-configs.sh") && told.contains(&topic),
        "{told}"
    );
    Ok(())
}
