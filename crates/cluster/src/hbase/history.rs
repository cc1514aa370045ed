//! History in HBase: rows that analysts read with the HBase shell, Hive and Spark.

mod batch;
mod channels;
pub(super) mod marks;
mod members;
mod messages;
mod with_rows;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tracing::{Instrument, debug_span};

use self::batch::Batch;
use self::marks::Marks;
use super::client::Client;
use super::error::HBaseError;
use super::put;
use lakechat_core::domain::{
    Change, Channel, ChannelName, HistoryRow, Id, Member, Membership, Message, Partition, UserName,
};
use lakechat_core::ports::history::{ChannelRows, Mark, MessageRange};
use lakechat_core::ports::{History, PortError};

const PART: &str = "history";

pub(super) struct HBaseHistory {
    client: Arc<Client>,
    marks: Marks,
}

impl HBaseHistory {
    pub fn new(client: Arc<Client>, partitions: u16, generation: u32) -> HBaseHistory {
        HBaseHistory {
            client,
            marks: Marks::new(partitions, generation),
        }
    }

    /// Writes batches in parallel: their order does not matter, as the cells' timestamps decide which one
    /// counts.
    async fn store(&self, rows: &[HistoryRow]) -> Result<(), HBaseError> {
        let batches = batch::of_rows(rows).into_iter();
        let writes: Vec<_> = batches.map(|batch| self.write(batch)).collect();
        stream::iter(writes)
            .buffer_unordered(self.client.pool.parallel_writes)
            .try_collect()
            .await
    }

    async fn write(&self, batch: Batch) -> Result<(), HBaseError> {
        let Batch {
            table,
            timestamp,
            puts,
        } = batch;
        let span = debug_span!("hbase_batch", table = table.name(), rows = puts.len());
        let write = move |connection: &mut _, tables: &_| {
            put::rows(connection, tables, table, timestamp, &puts)
        };
        self.client.write(write).instrument(span).await
    }
}

fn port_error(error: HBaseError) -> PortError {
    error.into_port_error(PART)
}

#[async_trait]
impl History for HBaseHistory {
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), PortError> {
        self.store(&rows).await.map_err(port_error)
    }

    /// A call costs its share of a sync of the write-ahead log in each region that it touches.
    fn prefers_few_calls(&self) -> bool {
        true
    }

    async fn marks(&self) -> Result<Vec<Mark>, PortError> {
        self.marks.read(&self.client).await.map_err(port_error)
    }

    async fn advance_mark(&self, partition: Partition, mark: Mark) -> Result<(), PortError> {
        let advanced = self.marks.advance(&self.client, partition, mark);
        advanced.await.map_err(port_error)
    }

    async fn messages(
        &self,
        channel: &ChannelName,
        range: MessageRange,
        limit: usize,
    ) -> Result<Vec<Message>, PortError> {
        let found = messages::in_range(&self.client, channel, range, limit);
        found.await.map_err(port_error)
    }

    async fn changes(
        &self,
        channel: &ChannelName,
        after: Id,
        before: Id,
        limit: usize,
    ) -> Result<Vec<Change>, PortError> {
        let found = messages::changes(&self.client, channel, after, before, limit);
        found.await.map_err(port_error)
    }

    async fn channels_with_rows(
        &self,
        after: Option<&ChannelRows>,
        limit: usize,
    ) -> Result<Vec<ChannelRows>, PortError> {
        let found = with_rows::channels(&self.client, after, limit);
        found.await.map_err(port_error)
    }

    async fn last_message_number(
        &self,
        channel: &ChannelName,
        before: Id,
    ) -> Result<Option<(Id, u64)>, PortError> {
        let found = messages::last_message_number(&self.client, channel, before);
        found.await.map_err(port_error)
    }

    async fn members(
        &self,
        channel: &ChannelName,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<Member>, PortError> {
        let found = members::of_channel(&self.client, channel, after, limit);
        found.await.map_err(port_error)
    }

    async fn memberships(&self, user: &UserName) -> Result<Vec<Membership>, PortError> {
        members::of_user(&self.client, user)
            .await
            .map_err(port_error)
    }

    async fn fill_channel_state(&self, channels: &mut [Channel]) -> Result<(), PortError> {
        channels::describe(&self.client, channels)
            .await
            .map_err(port_error)
    }
}
