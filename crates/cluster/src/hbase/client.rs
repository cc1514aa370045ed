//! What history and directory share: the connections, the tables' names, and a cache of which channels
//! are private.

use std::sync::Arc;

use moka::sync::Cache;
use serde::Deserialize;

use super::connection::Connection;
use super::error::HBaseError;
use super::pool::ConnectionPool;
use super::row;
use super::tables::{Table, Tables};
use lakechat_core::domain::{ChannelKind, ChannelName};

/// Channels whose kind is cached; that of others is read.
const CACHED_CHANNELS: u64 = 100_000;

pub(super) struct Client {
    pub pool: ConnectionPool,
    pub tables: Arc<Tables>,
    private: Cache<ChannelName, bool>,
}

impl Client {
    pub fn new(pool: ConnectionPool, tables: Arc<Tables>) -> Client {
        Client {
            pool,
            tables,
            private: Cache::new(CACHED_CHANNELS),
        }
    }

    pub async fn read<T, W>(&self, work: W) -> Result<T, HBaseError>
    where
        W: Fn(&mut Connection, &Tables) -> Result<T, HBaseError> + Send + 'static,
        T: Send + 'static,
    {
        let tables = Arc::clone(&self.tables);
        self.pool
            .reads
            .call(move |connection| work(connection, &tables))
            .await
    }

    /// `work` may run twice, so it has to be idempotent.
    pub async fn write<T, W>(&self, work: W) -> Result<T, HBaseError>
    where
        W: Fn(&mut Connection, &Tables) -> Result<T, HBaseError> + Send + 'static,
        T: Send + 'static,
    {
        let tables = Arc::clone(&self.tables);
        self.pool
            .writes
            .call(move |connection| work(connection, &tables))
            .await
    }

    /// Whether a channel's rows are in the private tables. A channel's kind never changes, so it is read
    /// once. A channel that does not exist yet has no rows, and counts as public until it does.
    pub async fn is_private(&self, channel: &ChannelName) -> Result<bool, HBaseError> {
        if channel.as_str().contains(':') {
            return Ok(true); // the name of a direct channel
        }
        if let Some(private) = self.private.get(channel) {
            return Ok(private);
        }
        let name = channel.as_str().as_bytes().to_vec();
        let read = move |connection: &mut _, tables: &_| {
            row::get(connection, tables, Table::Channels, &name, &["d:v"])
        };
        let Some(row) = self.read(read).await? else {
            return Ok(false);
        };
        let Kind { kind } = row.need("d:v", |json| serde_json::from_str(json).ok())?;
        self.private.insert(channel.clone(), kind.is_private());
        Ok(kind.is_private())
    }
}

#[derive(Deserialize)]
struct Kind {
    kind: ChannelKind,
}
