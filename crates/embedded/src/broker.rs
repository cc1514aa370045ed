//! The log as a table of the database.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use rusqlite::{Connection, Row, params};
use tokio::sync::watch;

use super::columns::{ReadColumn, Text, int, limit};
use super::engine::Engine;
use super::log_reader::SqliteReader;
use super::offsets::{offset_for_time, start_offsets};
use super::part;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{
    DeadLetter, DeadLetterListing, LogReader, LogRecord, Offset, OutgoingRecord,
    PublishFailureHandler,
};
use lakechat_core::ports::{Broker, PerPartition, PortError};

/// Dead letters that are read at a time.
const PAGE_LETTERS: usize = 100;

pub(super) struct SqliteBroker {
    engine: Arc<Engine>,
    /// All partitions: there is only one server.
    assigned: watch::Sender<Vec<Partition>>,
}

impl SqliteBroker {
    pub fn new(engine: Arc<Engine>) -> SqliteBroker {
        let all = (0..engine.partitions).map(Partition).collect();
        SqliteBroker {
            engine,
            assigned: watch::Sender::new(all),
        }
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    fn partitions(&self) -> u16 {
        self.engine.partitions
    }

    fn now_ms(&self) -> u64 {
        self.engine.clock.now_ms()
    }

    fn on_publish_failure(&self, handler: PublishFailureHandler) {
        if self.engine.on_publish_failure.set(handler).is_err() {
            tracing::error!("on_publish_failure was set twice; the first handler is kept");
        }
    }

    fn publish(&self, record: OutgoingRecord) -> Result<(), PortError> {
        self.check_health()?;
        self.engine.queue.append(record)
    }

    fn reader(&self, from: &[(Partition, Offset)]) -> Result<Box<dyn LogReader>, PortError> {
        let reader = SqliteReader::open(Arc::clone(&self.engine), from)?;
        Ok(Box::new(reader))
    }

    async fn end_offsets(&self) -> Result<PerPartition<Offset>, PortError> {
        self.check_health()?;
        if self.engine.is_read_only {
            self.engine.follow_log_end(part::BROKER).await?;
        }
        Ok(self.log_ends())
    }

    fn known_end_offsets(&self) -> Option<PerPartition<Offset>> {
        let is_known = !self.engine.is_read_only && self.check_health().is_ok();
        is_known.then(|| self.log_ends())
    }

    async fn start_offsets(&self) -> Result<PerPartition<Offset>, PortError> {
        let partitions = self.engine.partitions;
        let starts = self
            .engine
            .read(part::BROKER, move |db| start_offsets(db, partitions));
        Ok(starts.await?.into())
    }

    async fn offsets_for_times(
        &self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Result<Offset, PortError>>, PortError> {
        // Taken before the search: a record committed after it may have the time asked for, and
        // an end taken later would lie above that record.
        let end = self.engine.recent_records.end();
        let partitions = self.engine.partitions;
        let times = times.to_vec();
        let found = self.engine.read(part::BROKER, move |db| {
            let kept = start_offsets(db, partitions)?;
            let find = |&(partition, time_ms): &(Partition, u64)| {
                let first = offset_for_time(db, time_ms)?.unwrap_or(end);
                // The search is over all partitions, and another one may keep older records.
                Ok(first.max(kept.get(partition.index()).copied().unwrap_or(0)))
            };
            times.iter().map(find).collect::<Result<Vec<_>, _>>()
        });
        Ok(found.await?.into_iter().map(Ok).collect())
    }

    fn assigned_partitions(&self) -> watch::Receiver<Vec<Partition>> {
        self.assigned.subscribe()
    }

    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        let letters = letters.to_vec();
        let write = move |db: &_| {
            letters
                .iter()
                .try_for_each(|letter| dead_letter(db, letter))
        };
        self.engine.write(part::BROKER, write).await
    }

    async fn dead_letters(&self) -> Result<DeadLetterListing, PortError> {
        let engine = Arc::clone(&self.engine);
        let pages = stream::try_unfold(None, move |last| {
            let engine = Arc::clone(&engine);
            async move {
                let read = move |db: &_| dead_letters(db, last);
                let page = engine.read(part::BROKER, read).await?;
                let last = page.last().map(|letter| place(&letter.record));
                Ok(last.map(|last| (stream::iter(page).map(Ok), Some(last))))
            }
        });
        Ok(Box::pin(pages.try_flatten()))
    }
}

type Place = (Partition, Offset);

fn place(record: &LogRecord) -> Place {
    (record.partition, record.offset)
}

/// A page of the dead letters that follow a place.
fn dead_letters(db: &Connection, after: Option<Place>) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut select = db.prepare_cached(
        "SELECT partition, offset, append_ms, channel, record, reason FROM dead_letters
         WHERE (partition, offset) > (?1, ?2) ORDER BY partition, offset LIMIT ?3",
    )?;
    let after = after.map_or((-1, 0), |(partition, offset)| {
        (i64::from(partition.0), int(offset))
    });
    let letters = select.query_map(params![after.0, after.1, limit(PAGE_LETTERS)], letter)?;
    letters.collect()
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let bytes = |index| -> rusqlite::Result<Bytes> {
        Ok(Bytes::copy_from_slice(row.get_ref(index)?.as_bytes()?))
    };
    Ok(DeadLetter {
        record: LogRecord {
            partition: Partition(row.get(0)?),
            offset: row.number(1)?,
            append_ms: row.number(2)?,
            key: bytes(3)?,
            value: bytes(4)?,
        },
        reason: row.text(5)?.into(),
    })
}

fn dead_letter(
    db: &Connection,
    DeadLetter { record, reason }: &DeadLetter,
) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO dead_letters (partition, offset, append_ms, channel, record, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![
        record.partition.0,
        int(record.offset),
        int(record.append_ms),
        Text(&record.key),
        Text(&record.value),
        &**reason,
    ])?;
    Ok(())
}

impl SqliteBroker {
    fn log_ends(&self) -> PerPartition<Offset> {
        let end = self.engine.recent_records.end();
        (0..self.engine.partitions).map(|_| Ok(end)).collect()
    }

    fn check_health(&self) -> Result<(), PortError> {
        let healthy = self.engine.health.check();
        healthy.map_err(|fault| fault.into_port_error(part::BROKER))
    }
}
