//! The log in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::columns::{Text, int};
use super::engine::Core;
use super::log_reader::SqliteReader;
use super::offsets::{offset_for_time, start_offsets};
use super::part;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{
    DeadLetter, LogReader, Offset, OutgoingRecord, PublishFailureHandler,
};
use lakechat_core::ports::{Broker, PortError};

pub(super) struct SqliteBroker {
    core: Arc<Core>,
    /// One server has it all.
    claims: watch::Sender<Vec<Partition>>,
}

impl SqliteBroker {
    pub fn new(core: Arc<Core>) -> SqliteBroker {
        let all = (0..core.partitions).map(Partition).collect();
        SqliteBroker {
            core,
            claims: watch::Sender::new(all),
        }
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    fn partitions(&self) -> u16 {
        self.core.partitions
    }

    fn now_ms(&self) -> u64 {
        self.core.clock.now_ms()
    }

    fn on_publish_failure(&self, handler: PublishFailureHandler) {
        if self.core.on_publish_failure.set(handler).is_err() {
            tracing::error!("on_publish_failure was set twice; the first stays");
        }
    }

    fn publish(&self, record: OutgoingRecord) -> Result<(), PortError> {
        self.check()?;
        self.core.queue.append(record)
    }

    fn reader(&self, from: &[(Partition, Offset)]) -> Result<Box<dyn LogReader>, PortError> {
        let reader = SqliteReader::open(Arc::clone(&self.core), from)?;
        Ok(Box::new(reader))
    }

    async fn end_offsets(&self) -> Result<Vec<Offset>, PortError> {
        self.check()?;
        Ok(self.all_ends())
    }

    fn known_end_offsets(&self) -> Option<Vec<Offset>> {
        self.check().ok().map(|()| self.all_ends())
    }

    async fn start_offsets(&self) -> Result<Vec<Offset>, PortError> {
        let partitions = self.core.partitions;
        self.core
            .read(part::BROKER, move |db| start_offsets(db, partitions))
            .await
    }

    async fn offsets_for_times(
        &self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Offset>, PortError> {
        // Taken first: what is committed from here on may be later than the time asked for.
        let end = self.core.recent.end();
        let partitions = self.core.partitions;
        let times = times.to_vec();
        let found = self.core.read(part::BROKER, move |db| {
            let kept = start_offsets(db, partitions)?;
            let find = |&(partition, time_ms): &(Partition, u64)| {
                let first = offset_for_time(db, time_ms)?.unwrap_or(end);
                // Other partitions may keep more than this one.
                Ok(first.max(kept.get(partition.index()).copied().unwrap_or(0)))
            };
            times.iter().map(find).collect()
        });
        found.await
    }

    fn assigned_partitions(&self) -> watch::Receiver<Vec<Partition>> {
        self.claims.subscribe()
    }

    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        let letters = letters.to_vec();
        let write = move |db: &_| {
            letters
                .iter()
                .try_for_each(|letter| dead_letter(db, letter))
        };
        self.core.write(part::BROKER, write).await
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
    fn all_ends(&self) -> Vec<Offset> {
        vec![self.core.recent.end(); usize::from(self.core.partitions)]
    }

    fn check(&self) -> Result<(), PortError> {
        let healthy = self.core.health.check();
        healthy.map_err(|fault| fault.into_port_error(part::BROKER))
    }
}
