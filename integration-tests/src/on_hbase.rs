//! History and directory in the real HBase under test; broker and files are the embedded ones.

use std::sync::Arc;

use anyhow::Result;
use lakechat_cluster::hbase::{CONTRACT, HBase, LogRow};
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{DeadLetter, Offset};
use lakechat_core::ports::{Broker, Directory, FileStore, History};

use crate::contract::Backend;
use crate::hbase::Tables;
use crate::on_disk::{self, OnDisk};

pub struct OnHBase {
    pub hbase: HBase,
    history: Arc<dyn History>,
    disk: OnDisk,
    // Dropped last: with the last of its holders the tables go.
    pub tables: Arc<Tables>,
}

/// Row `log` of the tests.
pub fn log_row(partitions: u16) -> LogRow {
    LogRow {
        contract: CONTRACT,
        topic: "lakechat.messages".to_owned(),
        partitions,
        window_ms: 600_000,
        generation: 1,
        floors: Vec::new(),
        starts: Vec::new(),
    }
}

pub async fn fresh() -> Result<OnHBase> {
    let tables = Tables::shared().await?;
    connect(tables, on_disk::fresh().await?).await
}

async fn connect(tables: Arc<Tables>, disk: OnDisk) -> Result<OnHBase> {
    let hbase = HBase::start(&tables.settings)?;
    let partitions = disk.broker().partitions();
    hbase.create_log_row(&log_row(partitions)).await?;
    Ok(OnHBase {
        history: hbase.history(partitions, 1),
        hbase,
        disk,
        tables,
    })
}

impl Backend for OnHBase {
    fn broker(&self) -> Arc<dyn Broker> {
        self.disk.broker()
    }

    fn history(&self) -> Arc<dyn History> {
        Arc::clone(&self.history)
    }

    fn directory(&self) -> Directory {
        self.hbase.directory()
    }

    fn file_store(&self) -> Arc<dyn FileStore> {
        self.disk.file_store()
    }

    async fn reopen(self) -> Result<OnHBase> {
        let OnHBase {
            hbase,
            history,
            disk,
            tables,
        } = self;
        drop((hbase, history));
        connect(tables, disk.reopen().await?).await
    }

    async fn forget_below(&self, partition: Partition, offset: Offset) -> Result<bool> {
        self.disk.forget_below(partition, offset).await
    }

    async fn dead_letters(&self, count: usize) -> Result<Vec<DeadLetter>> {
        self.disk.dead_letters(count).await
    }

    async fn drafts(&self) -> Result<usize> {
        self.disk.drafts().await
    }
}
