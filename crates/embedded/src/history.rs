//! The history as tables of the database, which analysts read with the `sqlite3` shell.

pub(super) mod marks;
mod read;
mod write;

use std::sync::Arc;

use async_trait::async_trait;

use super::engine::Engine;
use super::part;
use lakechat_core::domain::{
    Cells, Change, Channel, ChannelName, HistoryRow, Id, Member, Membership, Message, Partition,
    UserName,
};
use lakechat_core::ports::history::{ChannelRows, Mark, MessageRange};
use lakechat_core::ports::{History, PortError};

/// Rows of one job. A batch of the writer ends only between jobs, so larger ones would delay the log's
/// records.
const CHUNK_ROWS: usize = 64;

pub(super) struct SqliteHistory {
    engine: Arc<Engine>,
}

impl SqliteHistory {
    pub fn new(engine: Arc<Engine>) -> SqliteHistory {
        SqliteHistory { engine }
    }
}

#[async_trait]
impl History for SqliteHistory {
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), PortError> {
        let mut rows = rows.into_iter();
        let mut answers = Vec::new();
        while rows.len() > 0 {
            let chunk: Vec<HistoryRow> = rows.by_ref().take(CHUNK_ROWS).collect();
            let pending = self
                .engine
                .membership_cache
                .begin_write(changed_members(&chunk));
            let write = move |db: &_| write::rows(db, &chunk).map(|()| pending);
            answers.push(self.engine.queue.send(write).await);
        }
        for answer in answers {
            let written = answer.wait().await;
            written.map_err(|fault| fault.into_port_error(part::HISTORY))?;
        }
        Ok(())
    }

    async fn marks(&self) -> Result<Vec<Mark>, PortError> {
        let partitions = self.engine.partitions;
        let read = self
            .engine
            .read(part::HISTORY, move |db| marks::read(db, partitions));
        read.await
    }

    async fn advance_mark(&self, partition: Partition, mark: Mark) -> Result<(), PortError> {
        let write = move |db: &_| marks::advance(db, partition, mark);
        self.engine.write(part::HISTORY, write).await
    }

    async fn messages(
        &self,
        channel: &ChannelName,
        range: MessageRange,
        limit: usize,
    ) -> Result<Vec<Message>, PortError> {
        let channel = channel.clone();
        let read = move |db: &_| read::messages(db, &channel, range, limit);
        self.engine.read(part::HISTORY, read).await
    }

    async fn changes(
        &self,
        channel: &ChannelName,
        after: Id,
        before: Id,
        limit: usize,
    ) -> Result<Vec<Change>, PortError> {
        let channel = channel.clone();
        let read = move |db: &_| read::changes(db, &channel, after, before, limit);
        self.engine.read(part::HISTORY, read).await
    }

    async fn channels_with_rows(
        &self,
        after: Option<&ChannelRows>,
        limit: usize,
    ) -> Result<Vec<ChannelRows>, PortError> {
        let after = after.map(|rows| rows.channel.clone());
        let read = move |db: &_| read::channels_with_rows(db, after.as_ref(), limit);
        self.engine.read(part::HISTORY, read).await
    }

    async fn last_message_number(
        &self,
        channel: &ChannelName,
        before: Id,
    ) -> Result<Option<(Id, u64)>, PortError> {
        let channel = channel.clone();
        let read = move |db: &_| read::last_message_number(db, &channel, before);
        self.engine.read(part::HISTORY, read).await
    }

    async fn members(
        &self,
        channel: &ChannelName,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<Member>, PortError> {
        let (channel, after) = (channel.clone(), after.cloned());
        let read = move |db: &_| read::members(db, &channel, after.as_ref(), limit);
        self.engine.read(part::HISTORY, read).await
    }

    async fn memberships(&self, user: &UserName) -> Result<Vec<Membership>, PortError> {
        memberships(&self.engine, user).await
    }

    async fn fill_channel_state(&self, channels: &mut [Channel]) -> Result<(), PortError> {
        let names: Vec<_> = channels.iter().map(|c| c.name.clone()).collect();
        let read = move |db: &_| read::descriptions(db, &names);
        let said = self.engine.read(part::HISTORY, read).await?;
        for (channel, said) in channels.iter_mut().zip(said) {
            if said.topic.is_some() {
                channel.topic = said.topic;
            }
            if said.archived.is_some() {
                channel.archived = said.archived;
            }
        }
        Ok(())
    }
}

pub(super) async fn memberships(
    engine: &Arc<Engine>,
    user: &UserName,
) -> Result<Vec<Membership>, PortError> {
    let key = user.clone();
    let user = user.clone();
    let read = move |db: &_| read::memberships(db, &user);
    let cache = &engine.membership_cache;
    cache.get(key, engine.read(part::HISTORY, read)).await
}

/// The users whose memberships the rows change.
fn changed_members(rows: &[HistoryRow]) -> Vec<UserName> {
    let member = |row: &HistoryRow| match &row.cells {
        Cells::Member { user, .. } => Some(user.clone()),
        _ => None,
    };
    rows.iter().filter_map(member).collect()
}
