//! What history and directory share: the connections, the tables' names, and which channels are
//! private.

use std::sync::Arc;

use moka::sync::Cache;
use serde::Deserialize;

use super::connection::Connection;
use super::error::Fault;
use super::pool::Lines;
use super::row;
use super::tables::{Table, Tables};
use lakechat_core::domain::{ChannelKind, ChannelName};

/// Channels whose kind is remembered; others are looked up.
const KNOWN_CHANNELS: u64 = 100_000;

pub(super) struct Core {
    pub lines: Lines,
    pub tables: Arc<Tables>,
    private: Cache<ChannelName, bool>,
}

impl Core {
    pub fn new(lines: Lines, tables: Arc<Tables>) -> Core {
        Core {
            lines,
            tables,
            private: Cache::new(KNOWN_CHANNELS),
        }
    }

    pub async fn read<T, W>(&self, work: W) -> Result<T, Fault>
    where
        W: Fn(&mut Connection, &Tables) -> Result<T, Fault> + Send + 'static,
        T: Send + 'static,
    {
        let tables = Arc::clone(&self.tables);
        let reads = &self.lines.reads;
        reads
            .call(move |connection| work(connection, &tables))
            .await
    }

    /// May run twice: what is written has to leave the same then.
    pub async fn write<T, W>(&self, work: W) -> Result<T, Fault>
    where
        W: Fn(&mut Connection, &Tables) -> Result<T, Fault> + Send + 'static,
        T: Send + 'static,
    {
        let tables = Arc::clone(&self.tables);
        let writes = &self.lines.writes;
        writes
            .call(move |connection| work(connection, &tables))
            .await
    }

    /// Whether a channel's rows stand in the private tables. A channel's kind never changes, so it
    /// is asked for once; a channel that nobody made yet has no rows.
    pub async fn is_private(&self, channel: &ChannelName) -> Result<bool, Fault> {
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
