//! The directory without a server, for commands that write to it.

#[cfg(feature = "cluster")]
use anyhow::Context as _;
use anyhow::Result;

use super::settings;
use crate::config::{Config, Mode};
#[cfg(feature = "cluster")]
use lakechat_cluster::hbase::HBase;
use lakechat_core::ports::Directory;
use lakechat_embedded::{Embedded, OpenError};

/// In a cluster the servers may run meanwhile. A data folder is locked, so that none runs on it: a
/// server would not notice what is written.
pub struct OfflineDirectory {
    pub directory: Directory,
    _locked: Option<Box<Embedded>>,
}

impl OfflineDirectory {
    /// Creates a data folder that doesn't exist. The tables of a cluster have to exist.
    pub async fn open(config: &Config) -> Result<OfflineDirectory> {
        match config.mode {
            Mode::Embedded => {
                let folder = Embedded::open(&config.data_dir, settings::embedded(config));
                let folder = folder.map_err(explain)?;
                Ok(OfflineDirectory {
                    directory: folder.directory(),
                    _locked: Some(Box::new(folder)),
                })
            }
            #[cfg(feature = "cluster")]
            Mode::Cluster => {
                let hbase = HBase::start(&settings::hbase(&config.hbase))
                    .context("can't start the threads of HBase's client")?;
                hbase.check_schema(None).await?;
                Ok(OfflineDirectory {
                    directory: hbase.directory(),
                    _locked: None,
                })
            }
            #[cfg(not(feature = "cluster"))]
            Mode::Cluster => unreachable!("the configuration refuses it"),
        }
    }

    /// Writes what is queued, and unlocks a data folder.
    pub async fn close(self) -> Result<()> {
        // It blocks.
        tokio::task::spawn_blocking(move || drop(self)).await?;
        Ok(())
    }
}

fn explain(error: OpenError) -> anyhow::Error {
    let is_in_use = matches!(error, OpenError::InUse { .. });
    let error = anyhow::Error::new(error);
    match is_in_use {
        true => error.context("stop the server first: nobody else may write to its data folder"),
        false => error,
    }
}
