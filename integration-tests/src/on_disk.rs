//! The embedded back ends under test.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use lakechat::adapters::embedded::{Embedded, Settings};
use lakechat::domain::Partition;
use lakechat::ports::broker::Offset;
use lakechat::ports::history::Mark;
use lakechat::ports::{Broker, Directory, FileStore, History};
use tempfile::TempDir;

use crate::contract::Backend;

/// The embedded back ends over a folder that goes with them.
pub struct OnDisk {
    pub embedded: Embedded,
    pub folder: TempDir,
}

pub async fn fresh() -> Result<OnDisk> {
    let folder = tempfile::tempdir()?;
    let embedded = open(folder.path())?;
    Ok(OnDisk { embedded, folder })
}

pub fn open(folder: &Path) -> Result<Embedded> {
    Ok(Embedded::open(folder, Settings::default())?)
}

impl Backend for OnDisk {
    fn broker(&self) -> Arc<dyn Broker> {
        self.embedded.broker()
    }

    fn history(&self) -> Arc<dyn History> {
        self.embedded.history()
    }

    fn directory(&self) -> Arc<dyn Directory> {
        self.embedded.directory()
    }

    fn file_store(&self) -> Arc<dyn FileStore> {
        self.embedded.file_store()
    }

    async fn reopen(self) -> Result<OnDisk> {
        let OnDisk { embedded, folder } = self;
        drop(embedded);
        let embedded = open(folder.path())?;
        Ok(OnDisk { embedded, folder })
    }

    /// A mark whose time is far ahead lets go of everything below it.
    async fn forget_below(&self, partition: Partition, offset: Offset) -> Result<bool> {
        let mark = Mark {
            offset,
            time_ms: self.broker().now_ms() + 86_400_000,
            ..Mark::default()
        };
        self.history().advance(partition, mark).await?;
        self.embedded.trim().await?;
        Ok(true)
    }

    async fn drafts(&self) -> Result<usize> {
        let drafts = std::fs::read_dir(self.folder.path().join("tmp"))?;
        Ok(drafts.count())
    }
}
