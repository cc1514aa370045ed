//! The embedded adapters keep the ports' contracts, and what only they promise.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use integration_tests::contract::Backend;
use lakechat::adapters::embedded::{Embedded, Settings};
use lakechat::domain::Partition;
use lakechat::ports::broker::Offset;
use lakechat::ports::history::Mark;
use lakechat::ports::{Broker, Directory, FileStore, History};
use tempfile::TempDir;

struct OnDisk {
    embedded: Embedded,
    folder: TempDir,
}

async fn fresh() -> Result<OnDisk> {
    let folder = tempfile::tempdir()?;
    let embedded = open(folder.path())?;
    Ok(OnDisk { embedded, folder })
}

fn open(folder: &Path) -> Result<Embedded> {
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

integration_tests::broker_contract!(crate::fresh);
integration_tests::history_contract!(crate::fresh);
integration_tests::directory_contract!(crate::fresh);
integration_tests::file_store_contract!(crate::fresh);
