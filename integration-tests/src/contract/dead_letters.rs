//! The log: records that can't be decoded.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt};
use lakechat_core::chat::{
    self, BackgroundTask, Batching, MemoryBounds, OutboxBounds, SessionLimits,
};
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{DeadLetter, LogRecord, OutgoingRecord};
use lakechat_core::ports::presence::ConnectionLimits;
use lakechat_embedded::MemoryPresence;

use super::broker::{any_partition, read, reader_at_end};
use super::{Backend, eventually, random};

pub async fn dead_letters_are_kept_unchanged<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let letter = |offset, value: &'static [u8]| DeadLetter {
        record: LogRecord {
            partition: Partition(1),
            offset,
            append_ms: 1_790_000_000_000,
            key: random().into(),
            value: value.into(),
        },
        reason: format!("test {}", random()).into(),
    };
    let letters = [letter(5, b"\xff\0{"), letter(7, b"")];
    broker.dead_letter(&letters).await?;
    broker.dead_letter(&letters[1..]).await?;
    let kept = backend.dead_letters(3).await?;
    for letter in &letters {
        ensure!(kept.contains(letter), "{letter:?} in {kept:?}");
    }
    ensure!(kept.iter().all(|b| letters.contains(b)), "{kept:?}");
    broker.dead_letter(&[]).await?;
    Ok(())
}

pub async fn dead_letters_are_listed_to_the_last<B: Backend>(backend: B) -> Result<()> {
    let broker = backend.broker();
    let listed: Vec<DeadLetter> = broker.dead_letters().await?.try_collect().await?;
    ensure!(listed.is_empty(), "{listed:?}");
    let letter = |n: u64| DeadLetter {
        record: LogRecord {
            partition: Partition((n % 3) as u16),
            offset: n / 3,
            append_ms: 1_790_000_000_000 + n,
            key: random().into(),
            value: b"\xff\0{".to_vec().into(),
        },
        reason: format!("test {n}").into(),
    };
    // More than is read at a time.
    let letters: Vec<_> = (0..250).map(letter).collect();
    broker.dead_letter(&letters).await?;
    let mut listed: Vec<DeadLetter> = broker.dead_letters().await?.try_collect().await?;
    listed.sort_by_key(|letter| letter.record.append_ms);
    ensure!(listed == letters, "{listed:?}");
    // A listing may be dropped half-way.
    let first = broker.dead_letters().await?.next().await;
    ensure!(first.is_some_and(|first| first.is_ok()));
    Ok(())
}

pub async fn unreadable_records_are_dead_lettered_before_the_mark_passes_them<B: Backend>(
    backend: B,
) -> Result<()> {
    let (broker, history) = (backend.broker(), backend.history());
    let partition = any_partition(&broker);
    let mut end = reader_at_end(&broker, partition).await?;
    let ports = chat::Ports {
        broker: broker.clone(),
        history: history.clone(),
        directory: (&backend.directory()).into(),
        presence: Arc::new(MemoryPresence::new("a")),
    };
    let running = chat::start(ports, settings()).await?;
    let spawn = |task: BackgroundTask| (task.stop, tokio::spawn(task.run));
    let tasks: Vec<_> = running.tasks.into_iter().map(spawn).collect();

    let key = random();
    broker.publish(OutgoingRecord {
        partition,
        key: key.clone().into(),
        value: "no record".into(),
        ticket: 1 << 10 | u64::from(partition.0),
    })?;
    let published = read(&mut *end, &[&key], 1)?.remove(0);
    eventually("the mark passes the record", async || {
        let marks = history.marks().await?;
        Ok(marks[partition.index()].offset > published.offset)
    })
    .await?;
    let kept = backend.dead_letters(1).await?;
    ensure!(kept.len() == 1 && kept[0].record == published, "{kept:?}");
    ensure!(!kept[0].reason.is_empty());

    for (stop, task) in tasks {
        stop.cancel();
        task.await?;
    }
    let threads = running.threads;
    let panicked = tokio::task::spawn_blocking(|| threads.join()).await?;
    ensure!(panicked.is_empty(), "{panicked:?}");
    Ok(())
}

/// Sends and sessions play no part here: only the reader and the archiver do.
fn settings() -> chat::ChatSettings {
    chat::ChatSettings {
        server_id: "a".into(),
        limits: SessionLimits {
            frame_bytes: 65_536,
            text_bytes: 16_384,
            channels: 128,
        },
        ping: Duration::from_secs(25),
        hello: Duration::from_secs(10),
        outbox: OutboxBounds {
            frames: 256,
            bytes: 4 << 20,
        },
        memory: MemoryBounds {
            tail_bytes: 1 << 20,
            window_bytes: 1 << 20,
        },
        read_bytes: 64 << 20,
        live_bytes: 64 << 20,
        archive: Batching {
            rows: 100,
            linger: Duration::from_millis(1),
        },
        sends_per_user: 0,
        sends_per_channel: 0,
        requests_per_user: 0,
        channels_per_user: 10_000,
        connections: ConnectionLimits::default(),
        edit_window: Duration::ZERO,
    }
}
