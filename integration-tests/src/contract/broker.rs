//! The log: order, durability, readers. Offsets are tested in [`super::log_places`], records that
//! can't be decoded in [`super::dead_letters`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use lakechat_core::domain::Partition;
use lakechat_core::ports::Broker;
use lakechat_core::ports::broker::{LogReader, LogRecord, Offset, OutgoingRecord};

use super::{Backend, DEADLINE, random};

/// Tests of every rule of the broker.
#[macro_export]
macro_rules! broker_contract {
    ($fresh:path) => {
        $crate::rules! { $fresh,
            broker:
                records_are_read_as_they_were_published
                order_of_each_publisher_is_kept_and_the_same_for_all_readers
                readers_get_only_their_partitions
                reader_continues_from_its_position
                poll_wakes_for_a_record_and_returns_without_one
                poll_returns_at_most_about_a_thousand_records
                records_survive_a_restart
                successful_publishes_report_no_failure
                all_partitions_are_assigned_to_the_only_server;
            log_places:
                end_offsets_are_past_what_any_reader_has_seen
                end_offset_is_at_or_before_the_next_record
                reader_from_the_middle_gets_the_rest
                offset_for_a_time_divides_earlier_from_later_records
                offset_for_a_time_after_every_record_is_the_end
                start_offset_can_be_read_from
                position_passes_gaps_between_records_and_at_the_end
                position_passes_a_gap_that_is_alone
                reader_below_the_start_offset_is_stopped
                reader_overtaken_by_the_start_offset_is_stopped
                offsets_and_times_continue_after_everything_was_trimmed;
            dead_letters:
                dead_letters_are_kept_unchanged
                dead_letters_are_listed_to_the_last
                unreadable_records_are_dead_lettered_before_the_mark_passes_them;
        }
    };
}

/// Publishes numbered records of one key to a partition.
pub(super) struct Publisher {
    pub broker: Arc<dyn Broker>,
    pub partition: Partition,
    pub key: String,
}

impl Publisher {
    pub fn new(broker: &Arc<dyn Broker>, partition: Partition) -> Publisher {
        Publisher {
            broker: Arc::clone(broker),
            partition,
            key: random(),
        }
    }

    pub fn publish(&self, numbers: impl IntoIterator<Item = u32>) -> Result<()> {
        for n in numbers {
            self.broker.publish(OutgoingRecord {
                partition: self.partition,
                key: self.key.clone().into(),
                value: n.to_string().into(),
                ticket: n.into(),
            })?;
        }
        Ok(())
    }

    /// The number of a record; `None` if another publisher sent it.
    pub fn number(&self, record: &LogRecord) -> Option<u32> {
        let own = record.key == self.key.as_bytes();
        own.then(|| std::str::from_utf8(&record.value).ok()?.parse().ok())?
    }
}

pub(super) fn any_partition(broker: &Arc<dyn Broker>) -> Partition {
    Partition(rand::random_range(0..broker.partitions()))
}

/// Reads until `count` records of `keys` were read, and returns only these.
pub(super) fn read(
    reader: &mut dyn LogReader,
    keys: &[&str],
    count: usize,
) -> Result<Vec<LogRecord>> {
    let deadline = Instant::now() + DEADLINE;
    let mut found = Vec::new();
    while found.len() < count {
        ensure!(
            Instant::now() < deadline,
            "read {} of {count} records",
            found.len()
        );
        let mut page = Vec::new();
        reader.poll(Duration::from_millis(100), &mut page)?;
        found.extend(
            page.into_iter()
                .filter(|r| keys.iter().any(|k| r.key == *k)),
        );
    }
    Ok(found)
}

/// A reader of one partition that starts at its end.
pub(super) async fn reader_at_end(
    broker: &Arc<dyn Broker>,
    partition: Partition,
) -> Result<Box<dyn LogReader>> {
    let end = broker.end_offsets().await?.all()?[partition.index()];
    Ok(broker.reader(&[(partition, end)])?)
}

pub async fn records_are_read_as_they_were_published<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let partition = any_partition(&broker);
    let mut reader = reader_at_end(&broker, partition).await?;
    let (key, before) = (random(), broker.now_ms());
    let values: [&[u8]; 4] = [b"{}", b"", b"a\0b", b"\xff\xfe\x00"];
    for value in values {
        broker.publish(OutgoingRecord {
            partition,
            key: Bytes::from(key.clone()),
            value: Bytes::from_static(value),
            ticket: 0,
        })?;
    }
    let records = read(&mut *reader, &[&key], values.len())?;
    let back: Vec<_> = records.iter().map(|r| &r.value[..]).collect();
    assert_eq!(back, values);
    assert!(records.iter().all(|r| r.partition == partition));
    assert!(records.is_sorted_by(|a, b| a.offset < b.offset));
    // The log's clock and the server's may differ, but only a little.
    let near = before - 5_000..=broker.now_ms() + 5_000;
    assert!(records.iter().all(|r| near.contains(&r.append_ms)));
    Ok(())
}

pub async fn order_of_each_publisher_is_kept_and_the_same_for_all_readers<B: Backend>(
    backend: B,
) -> Result<()> {
    const EACH: u32 = 500;
    let broker = backend.broker();
    let partition = any_partition(&broker);
    let mut first = reader_at_end(&broker, partition).await?;
    let mut second = reader_at_end(&broker, partition).await?;
    let publishers: Vec<_> = (0..8).map(|_| Publisher::new(&broker, partition)).collect();
    std::thread::scope(|scope| {
        let at_work: Vec<_> = publishers
            .iter()
            .map(|p| scope.spawn(|| p.publish(0..EACH)))
            .collect();
        at_work
            .into_iter()
            .try_for_each(|thread| thread.join().expect("publishers don't panic"))
    })?;
    let keys: Vec<_> = publishers.iter().map(|p| p.key.as_str()).collect();
    let count = publishers.len() * EACH as usize;
    let seen = read(&mut *first, &keys, count)?;
    assert_eq!(seen, read(&mut *second, &keys, count)?);
    assert!(seen.is_sorted_by(|a, b| a.offset < b.offset));
    for publisher in &publishers {
        let own = seen.iter().filter_map(|r| publisher.number(r));
        assert!(own.eq(0..EACH));
    }
    Ok(())
}

pub async fn readers_get_only_their_partitions<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let ends = broker.end_offsets().await?.all()?;
    let publishers: Vec<_> = (0..broker.partitions())
        .map(|p| Publisher::new(&broker, Partition(p)))
        .collect();
    for round in 0..50 {
        publishers.iter().try_for_each(|p| p.publish([round]))?;
    }
    let wanted = |p: &&Publisher| p.partition.0 % 3 == 1;
    let from: Vec<_> = publishers
        .iter()
        .filter(wanted)
        .map(|p| (p.partition, ends[p.partition.index()]))
        .collect();
    let keys: Vec<_> = publishers.iter().map(|p| p.key.as_str()).collect();
    let mut reader = broker.reader(&from)?;
    let seen = read(&mut *reader, &keys, from.len() * 50)?;
    assert_eq!(seen.len(), from.len() * 50);
    for publisher in publishers.iter().filter(wanted) {
        let own = seen.iter().filter_map(|r| publisher.number(r));
        assert!(own.eq(0..50), "partition {}", publisher.partition);
    }
    Ok(())
}

pub async fn reader_continues_from_its_position<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let all: Vec<_> = (0..broker.partitions()).map(Partition).collect();
    let publishers: Vec<_> = all.iter().map(|&p| Publisher::new(&broker, p)).collect();
    let keys: Vec<_> = publishers.iter().map(|p| p.key.as_str()).collect();
    let mut from: Vec<_> = all
        .iter()
        .copied()
        .zip(broker.end_offsets().await?.all()?)
        .collect();
    let mut last: HashMap<Partition, Offset> = HashMap::new();
    for round in 0..20 {
        publishers.iter().try_for_each(|p| p.publish([round]))?;
        let mut reader = broker.reader(&from)?;
        for record in read(&mut *reader, &keys, all.len())? {
            assert_eq!(
                record.value,
                round.to_string(),
                "each record is returned once"
            );
            last.insert(record.partition, record.offset);
        }
        from = all.iter().map(|&p| (p, reader.position(p))).collect();
        assert!(from.iter().all(|(p, offset)| last[p] < *offset));
    }
    Ok(())
}

pub async fn poll_wakes_for_a_record_and_returns_without_one<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let publisher = Publisher::new(&broker, any_partition(&broker));
    let mut reader = reader_at_end(&broker, publisher.partition).await?;
    let started = Instant::now();
    reader.poll(Duration::from_millis(50), &mut Vec::new())?;
    assert!(started.elapsed() < DEADLINE);

    let (waits, waiting) = std::sync::mpsc::channel();
    let key = publisher.key.clone();
    let reading = std::thread::spawn(move || {
        waits.send(())?;
        let started = Instant::now();
        let mut page = Vec::new();
        while !page.iter().any(|r: &LogRecord| r.key == key) {
            reader.poll(DEADLINE, &mut page)?;
        }
        anyhow::Ok(started.elapsed())
    });
    waiting.recv()?;
    publisher.publish([1])?;
    let waited = reading.join().expect("the reader does not panic")?;
    assert!(waited < DEADLINE / 2, "woke after {waited:?}");
    Ok(())
}

pub async fn poll_returns_at_most_about_a_thousand_records<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let publisher = Publisher::new(&broker, any_partition(&broker));
    let mut reader = reader_at_end(&broker, publisher.partition).await?;
    publisher.publish(0..5_000)?;
    let mut own = 0;
    while own < 5_000 {
        let mut page = Vec::new();
        reader.poll(DEADLINE, &mut page)?;
        assert!(page.len() <= 1_500, "{} records in one poll", page.len());
        own += page.iter().filter_map(|r| publisher.number(r)).count();
    }
    Ok(())
}

pub async fn records_survive_a_restart<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let publisher = Publisher::new(&broker, any_partition(&broker));
    let from = broker.end_offsets().await?.all()?[publisher.partition.index()];
    let mut reader = broker.reader(&[(publisher.partition, from)])?;
    publisher.publish(0..100)?;
    let seen = read(&mut *reader, &[&publisher.key], 100)?;
    let partitions = broker.partitions();
    drop((reader, broker));

    let backend = backend.reopen().await?;
    let broker = backend.broker();
    assert_eq!(broker.partitions(), partitions);
    let mut reader = broker.reader(&[(publisher.partition, from)])?;
    assert_eq!(read(&mut *reader, &[&publisher.key], 100)?, seen);
    let after = Publisher {
        broker: Arc::clone(&broker),
        ..publisher
    };
    after.publish([100])?;
    let next = read(&mut *reader, &[&after.key], 1)?;
    assert!(next[0].offset > seen[99].offset);
    Ok(())
}

pub async fn successful_publishes_report_no_failure<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let reports = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reports);
    broker.on_publish_failure(Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    let publisher = Publisher::new(&broker, any_partition(&broker));
    let mut reader = reader_at_end(&broker, publisher.partition).await?;
    publisher.publish(0..1_000)?;
    read(&mut *reader, &[&publisher.key], 1_000)?;
    assert_eq!(reports.load(Ordering::Relaxed), 0);
    Ok(())
}

pub async fn all_partitions_are_assigned_to_the_only_server<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let mut claims = broker.assigned_partitions();
    let all: Vec<_> = (0..broker.partitions()).map(Partition).collect();
    let claimed = claims.wait_for(|claimed| all.iter().all(|p| claimed.contains(p)));
    let claimed = tokio::time::timeout(DEADLINE, claimed).await??.clone();
    assert_eq!(claimed.len(), all.len());
    Ok(())
}
