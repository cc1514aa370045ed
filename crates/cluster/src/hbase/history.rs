//! History in HBase: rows that analysts read with the HBase shell, Hive and Spark.

mod batch;
mod channels;
mod marks;
mod members;
mod messages;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};

use self::batch::Batch;
use self::marks::Marks;
use super::client::Core;
use super::error::Fault;
use super::put;
use lakechat_core::domain::{
    Change, Channel, ChannelName, HistoryRow, Id, Member, Message, Partition, UserName,
};
use lakechat_core::ports::history::{Mark, MessageRange};
use lakechat_core::ports::{History, PortError};

const PART: &str = "history";

pub(super) struct HBaseHistory {
    core: Arc<Core>,
    marks: Marks,
}

impl HBaseHistory {
    pub fn new(core: Arc<Core>, partitions: u16, generation: u32) -> HBaseHistory {
        HBaseHistory {
            core,
            marks: Marks::new(partitions, generation),
        }
    }

    /// Batches go side by side: which of several cells counts is in their stamps.
    async fn store(&self, rows: &[HistoryRow]) -> Result<(), Fault> {
        let batches = batch::of_rows(rows).into_iter();
        let writes: Vec<_> = batches.map(|batch| self.write(batch)).collect();
        stream::iter(writes)
            .buffer_unordered(self.core.lines.width)
            .try_collect()
            .await
    }

    async fn write(&self, batch: Batch) -> Result<(), Fault> {
        let Batch { table, stamp, puts } = batch;
        let write = move |connection: &mut _, tables: &_| {
            put::rows(connection, tables, table, stamp, &puts)
        };
        self.core.write(write).await
    }
}

fn port_error(fault: Fault) -> PortError {
    fault.into_port_error(PART)
}

#[async_trait]
impl History for HBaseHistory {
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), PortError> {
        self.store(&rows).await.map_err(port_error)
    }

    async fn marks(&self) -> Result<Vec<Mark>, PortError> {
        self.marks.read(&self.core).await.map_err(port_error)
    }

    async fn advance_mark(&self, partition: Partition, mark: Mark) -> Result<(), PortError> {
        let advanced = self.marks.advance(&self.core, partition, mark);
        advanced.await.map_err(port_error)
    }

    async fn messages(
        &self,
        channel: &ChannelName,
        range: MessageRange,
        limit: usize,
    ) -> Result<Vec<Message>, PortError> {
        let found = messages::in_range(&self.core, channel, range, limit);
        found.await.map_err(port_error)
    }

    async fn changes(
        &self,
        channel: &ChannelName,
        after: Id,
        before: Id,
        limit: usize,
    ) -> Result<Vec<Change>, PortError> {
        let found = messages::changes(&self.core, channel, after, before, limit);
        found.await.map_err(port_error)
    }

    async fn last_message_number(
        &self,
        channel: &ChannelName,
        before: Id,
    ) -> Result<Option<(Id, u64)>, PortError> {
        let found = messages::last_message_number(&self.core, channel, before);
        found.await.map_err(port_error)
    }

    async fn members(
        &self,
        channel: &ChannelName,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<Member>, PortError> {
        let found = members::of_channel(&self.core, channel, after, limit);
        found.await.map_err(port_error)
    }

    async fn memberships(&self, user: &UserName) -> Result<Vec<(ChannelName, Member)>, PortError> {
        members::of_user(&self.core, user).await.map_err(port_error)
    }

    async fn fill_channel_state(&self, channels: &mut [Channel]) -> Result<(), PortError> {
        channels::describe(&self.core, channels)
            .await
            .map_err(port_error)
    }
}
