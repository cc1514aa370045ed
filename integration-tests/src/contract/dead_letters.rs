//! The log: records that can't be decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, ensure};
use lakechat_core::chat::archive::{self, Batching};
use lakechat_core::chat::hub::Hub;
use lakechat_core::chat::log::reader;
use lakechat_core::chat::log::{Bounds, Log};
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{DeadLetter, LogRecord, OutgoingRecord};
use lakechat_embedded::MemoryPresence;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

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

pub async fn unreadable_records_are_dead_lettered_before_the_mark_passes_them<B: Backend>(
    backend: B,
) -> Result<()> {
    let (broker, history) = (backend.broker(), backend.history());
    let partition = any_partition(&broker);
    let mut end = reader_at_end(&broker, partition).await?;
    let bounds = Bounds {
        tail_bytes: 1 << 20,
        window_bytes: 1 << 20,
    };
    let log = Log::new(broker.clone(), bounds);
    let (stop, stored) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
    let marks = history.marks().await?;
    let alive = oneshot::channel().0;
    let hub = Hub::new(Arc::new(MemoryPresence::new("a")));
    let reading = reader::start(log.clone(), hub, &marks, stop.clone(), alive).await?;
    let batching = Batching {
        rows: 100,
        linger: Duration::from_millis(1),
    };
    let archiving = archive::run(log.clone(), history.clone(), batching, stored.clone());
    let archiving = tokio::spawn(archiving);

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

    stored.cancel();
    archiving.await?;
    stop.store(true, Relaxed);
    reading.thread().unpark();
    tokio::task::spawn_blocking(move || reading.join().expect("the reader does not panic")).await?;
    Ok(())
}
