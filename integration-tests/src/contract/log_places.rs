//! The log: offsets, times, and trimming.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{LogReader, LogRecord, Offset};
use lakechat_core::ports::{Broker, PortError};

use super::broker::{Publisher, any_partition, read, reader_at_end};
use super::{Backend, DEADLINE};

/// Publishes 30 records, in three batches of different append times, and reads them.
async fn three_batches(broker: &Arc<dyn Broker>) -> Result<(Publisher, Vec<LogRecord>)> {
    let publisher = Publisher::new(broker, any_partition(broker));
    let mut reader = reader_at_end(broker, publisher.partition).await?;
    let mut seen: Vec<LogRecord> = Vec::new();
    for batch in 0..3 {
        let last = seen.last().map_or(0, |r| r.append_ms);
        while broker.now_ms() <= last + 2 {
            tokio::task::yield_now().await;
        }
        publisher.publish(batch * 10..batch * 10 + 10)?;
        seen.extend(read(&mut *reader, &[&publisher.key], 10)?);
    }
    Ok((publisher, seen))
}

async fn offset_for_time(
    broker: &Arc<dyn Broker>,
    partition: Partition,
    time_ms: u64,
) -> Result<Offset> {
    let found = broker.offsets_for_times(&[(partition, time_ms)]).await?;
    let found = found.into_iter().next().context("one offset per time")?;
    Ok(found?)
}

pub async fn end_offsets_are_past_what_any_reader_has_seen<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let publisher = Publisher::new(&broker, any_partition(&broker));
    let mut reader = reader_at_end(&broker, publisher.partition).await?;
    for n in 0..50 {
        publisher.publish([n])?;
        let seen = read(&mut *reader, &[&publisher.key], 1)?;
        let ends = broker.end_offsets().await?.all()?;
        assert_eq!(ends.len(), usize::from(broker.partitions()));
        assert!(seen[0].offset < ends[publisher.partition.index()]);
    }
    Ok(())
}

pub async fn end_offset_is_at_or_before_the_next_record<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let publisher = Publisher::new(&broker, any_partition(&broker));
    for n in 0..50 {
        let end = broker.end_offsets().await?.all()?[publisher.partition.index()];
        publisher.publish([n])?;
        let mut reader = broker.reader(&[(publisher.partition, end)])?;
        let next = read(&mut *reader, &[&publisher.key], 1)?;
        assert_eq!(publisher.number(&next[0]), Some(n));
        assert!(next[0].offset >= end);
    }
    Ok(())
}

pub async fn reader_from_the_middle_gets_the_rest<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let (publisher, seen) = three_batches(&broker).await?;
    for from in [0, 1, 15, 29] {
        let mut reader = broker.reader(&[(publisher.partition, seen[from].offset)])?;
        let rest = read(&mut *reader, &[&publisher.key], 30 - from)?;
        assert_eq!(rest, seen[from..]);
    }
    Ok(())
}

pub async fn offset_for_a_time_divides_earlier_from_later_records<B: Backend>(
    backend: B,
) -> Result<()> {
    let broker = backend.broker();
    let (publisher, seen) = three_batches(&broker).await?;
    for pivot in &seen {
        let time = pivot.append_ms;
        let first = offset_for_time(&broker, publisher.partition, time).await?;
        let (before, after): (Vec<_>, Vec<_>) = seen.iter().partition(|r| r.offset < first);
        assert!(before.iter().all(|r| r.append_ms < time));
        let next = after.first().context("at least the pivot itself")?;
        assert!(next.append_ms >= time);
    }
    Ok(())
}

pub async fn offset_for_a_time_after_every_record_is_the_end<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let (publisher, seen) = three_batches(&broker).await?;
    let never = broker.now_ms() + 86_400_000;
    let first = offset_for_time(&broker, publisher.partition, never).await?;
    assert!(first > seen[29].offset);
    assert!(first <= broker.end_offsets().await?.all()?[publisher.partition.index()]);
    publisher.publish([30])?;
    let mut reader = broker.reader(&[(publisher.partition, first)])?;
    let next = read(&mut *reader, &[&publisher.key], 1)?;
    assert_eq!(publisher.number(&next[0]), Some(30));
    Ok(())
}

pub async fn start_offset_can_be_read_from<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let (publisher, seen) = three_batches(&broker).await?;
    let starts = broker.start_offsets().await?.all()?;
    let ends = broker.end_offsets().await?.all()?;
    assert_eq!(starts.len(), ends.len());
    assert!(starts.iter().zip(&ends).all(|(start, end)| start <= end));
    let start = starts[publisher.partition.index()];
    let mut reader = broker.reader(&[(publisher.partition, start)])?;
    assert_eq!(read(&mut *reader, &[&publisher.key], 30)?, seen);
    Ok(())
}

pub async fn reader_below_the_start_offset_is_stopped<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let (publisher, seen) = three_batches(&broker).await?;
    let partition = publisher.partition;
    if !backend.forget_below(partition, seen[20].offset).await? {
        return Ok(());
    }
    let start = broker.start_offsets().await?.all()?[partition.index()];
    assert!(seen[19].offset < start && start <= seen[20].offset);
    let gone = match broker.reader(&[(partition, seen[19].offset)]) {
        Ok(mut reader) => end_of(&mut *reader)?,
        Err(error) => error,
    };
    assert!(stops(&gone, partition), "{gone:?}");
    let mut reader = broker.reader(&[(partition, start)])?;
    assert_eq!(read(&mut *reader, &[&publisher.key], 10)?, seen[20..]);
    // No lookup returns an offset of a deleted record.
    assert_eq!(offset_for_time(&broker, partition, 0).await?, start);
    Ok(())
}

pub async fn reader_overtaken_by_the_start_offset_is_stopped<B: Backend>(backend: B) -> Result<()> {
    let (publisher, seen) = three_batches(&backend.broker()).await?;
    // After a restart the adapter has no records in memory to serve the reader from.
    let backend = backend.reopen().await?;
    let broker = backend.broker();
    let partition = publisher.partition;
    let mut reader = broker.reader(&[(partition, seen[0].offset)])?;
    if !backend.forget_below(partition, seen[20].offset).await? {
        return Ok(());
    }
    let error = end_of(&mut *reader)?;
    assert!(stops(&error, partition), "{error:?}");
    Ok(())
}

/// Polls until the reader can't go on; it must not return records.
fn end_of(reader: &mut dyn LogReader) -> Result<PortError> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut records = Vec::new();
        let polled = reader.poll(Duration::from_millis(100), &mut records);
        ensure!(records.is_empty(), "deleted records were read");
        match polled {
            Ok(()) | Err(PortError::Unavailable { .. }) => {}
            Err(error) => return Ok(error),
        }
        ensure!(Instant::now() < deadline, "the reader goes on");
    }
}

fn stops(error: &PortError, wanted: Partition) -> bool {
    matches!(error, PortError::Stops { partition, .. } if *partition == Some(wanted))
}

/// Polls until the position is at the log's end.
async fn reach_end(
    broker: &Arc<dyn Broker>,
    reader: &mut dyn LogReader,
    partition: Partition,
) -> Result<()> {
    let end = broker.end_offsets().await?.all()?[partition.index()];
    let deadline = Instant::now() + DEADLINE;
    while reader.position(partition) < end {
        let at = reader.position(partition);
        ensure!(
            Instant::now() < deadline,
            "stays at {at}, and {end} is the end"
        );
        reader.poll(Duration::from_millis(100), &mut Vec::new())?;
    }
    Ok(())
}

pub async fn position_passes_gaps_between_records_and_at_the_end<B: Backend>(
    backend: B,
) -> Result<()> {
    let broker = backend.broker();
    let publisher = Publisher::new(&broker, any_partition(&broker));
    let partition = publisher.partition;
    let mut reader = reader_at_end(&broker, partition).await?;
    for n in 0..3 {
        publisher.publish([n])?;
        let seen = read(&mut *reader, &[&publisher.key], 1)?;
        assert_eq!(publisher.number(&seen[0]), Some(n));
        backend.append_gap(partition).await?;
        reach_end(&broker, &mut *reader, partition).await?;
    }
    let from = [(partition, reader.position(partition))];
    publisher.publish([3])?;
    let mut reader = broker.reader(&from)?;
    let seen = read(&mut *reader, &[&publisher.key], 1)?;
    assert_eq!(publisher.number(&seen[0]), Some(3));
    Ok(())
}

pub async fn position_passes_a_gap_that_is_alone<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let partition = any_partition(&broker);
    if !backend.append_gap(partition).await? {
        return Ok(());
    }
    let last = broker.end_offsets().await?.all()?[partition.index()] - 1;
    backend.forget_below(partition, last).await?;
    let mut reader = broker.reader(&[(partition, last)])?;
    reach_end(&broker, &mut *reader, partition).await?;
    assert_eq!(reader.position(partition), last + 1);
    Ok(())
}

pub async fn offsets_and_times_continue_after_everything_was_trimmed<B: Backend>(
    backend: B,
) -> Result<()> {
    let broker = backend.broker();
    let (publisher, seen) = three_batches(&broker).await?;
    let partition = publisher.partition;
    let end = broker.end_offsets().await?.all()?[partition.index()];
    if !backend.forget_below(partition, end).await? {
        return Ok(());
    }
    drop(broker);
    let backend = backend.reopen().await?;
    let broker = backend.broker();
    assert!(broker.end_offsets().await?.all()?[partition.index()] >= end);
    let mut reader = reader_at_end(&broker, partition).await?;
    let after = Publisher::new(&broker, partition);
    after.publish([0])?;
    let next = read(&mut *reader, &[&after.key], 1)?;
    assert!(next[0].offset >= end);
    assert!(next[0].append_ms >= seen[29].append_ms);
    Ok(())
}
