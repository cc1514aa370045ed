//! The log as a table of the database.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::columns::{Text, int};
use super::engine::Engine;
use super::log_reader::SqliteReader;
use super::offsets::{offset_for_time, start_offsets};
use super::part;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{
    DeadLetter, LogReader, Offset, OutgoingRecord, PublishFailureHandler,
};
use lakechat_core::ports::{Broker, PortError};

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

    async fn end_offsets(&self) -> Result<Vec<Offset>, PortError> {
        self.check_health()?;
        Ok(self.log_ends())
    }

    fn known_end_offsets(&self) -> Option<Vec<Offset>> {
        self.check_health().ok().map(|()| self.log_ends())
    }

    async fn start_offsets(&self) -> Result<Vec<Offset>, PortError> {
        let partitions = self.engine.partitions;
        self.engine
            .read(part::BROKER, move |db| start_offsets(db, partitions))
            .await
    }

    async fn offsets_for_times(
        &self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Offset>, PortError> {
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
            times.iter().map(find).collect()
        });
        found.await
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
    fn log_ends(&self) -> Vec<Offset> {
        vec![self.engine.recent_records.end(); usize::from(self.engine.partitions)]
    }

    fn check_health(&self) -> Result<(), PortError> {
        let healthy = self.engine.health.check();
        healthy.map_err(|fault| fault.into_port_error(part::BROKER))
    }
}
