//! The back ends of an installation that exists, for commands that look at it: nothing is created or
//! claimed, and servers may use it meanwhile.

#[cfg(feature = "cluster")]
mod cluster;

use std::sync::Arc;

use anyhow::Result;

use super::settings;
use crate::config::{Config, Mode};
use lakechat_core::chat::LogOrigin;
use lakechat_core::domain::Id;
use lakechat_core::ports::{Broker, Directory, FileRows, FileStore, History, UploadRows};
use lakechat_embedded::{Embedded, ReadOnlyEmbedded};

/// The log. Dropping its last reference may block for a second.
pub async fn broker(config: &Config) -> Result<Arc<dyn Broker>> {
    match config.mode {
        Mode::Embedded => Ok(read_only(config)?.broker()),
        #[cfg(feature = "cluster")]
        Mode::Cluster => cluster::broker(config).await,
        #[cfg(not(feature = "cluster"))]
        Mode::Cluster => unreachable!("the configuration refuses it"),
    }
}

/// What an audit compares.
pub struct Existing {
    pub broker: Arc<dyn Broker>,
    pub history: Arc<dyn History>,
    pub file_rows: Arc<dyn FileRows>,
    pub upload_rows: Arc<dyn UploadRows>,
    pub files: Arc<dyn FileStore>,
    /// By partition, where the log begins.
    pub origins: Vec<LogOrigin>,
    /// A data folder that is locked as long as the ports are used.
    locked: Option<Box<Embedded>>,
}

impl Existing {
    /// `writes`: whether history is to be written, too. A data folder is locked then, so that no server
    /// runs on it, which would not notice what is written.
    pub async fn open(config: &Config, writes: bool) -> Result<Existing> {
        match config.mode {
            Mode::Embedded if writes => Existing::locked(config),
            Mode::Embedded => {
                let folder = read_only(config)?;
                Ok(Existing::of_folder(
                    folder.broker(),
                    folder.history(),
                    folder.directory(),
                    folder.file_store(),
                    None,
                ))
            }
            #[cfg(feature = "cluster")]
            Mode::Cluster => cluster::open(config).await,
            #[cfg(not(feature = "cluster"))]
            Mode::Cluster => unreachable!("the configuration refuses it"),
        }
    }

    fn locked(config: &Config) -> Result<Existing> {
        // Only a folder that exists: opening another one would create it.
        drop(read_only(config)?);
        // Nothing is trimmed: what is compared stays there.
        let settings = lakechat_embedded::EmbeddedSettings {
            warm_up: std::time::Duration::MAX,
            ..settings::embedded(config)
        };
        let folder = Embedded::open(&config.data_dir, settings)?;
        Ok(Existing::of_folder(
            folder.broker(),
            folder.history(),
            folder.directory(),
            folder.file_store(),
            Some(Box::new(folder)),
        ))
    }

    fn of_folder(
        broker: Arc<dyn Broker>,
        history: Arc<dyn History>,
        directory: Directory,
        files: Arc<dyn FileStore>,
        locked: Option<Box<Embedded>>,
    ) -> Existing {
        Existing {
            origins: from_the_beginning(broker.as_ref()),
            broker,
            history,
            file_rows: directory.file_rows,
            upload_rows: directory.upload_rows,
            files,
            locked,
        }
    }

    /// Writes what is queued, and leaves nothing behind.
    pub async fn close(self) -> Result<()> {
        let Existing {
            broker,
            files,
            locked,
            ..
        } = self;
        let closed = files.close().await;
        // These block.
        tokio::task::spawn_blocking(move || drop((broker, locked))).await?;
        Ok(closed?)
    }
}

fn read_only(config: &Config) -> Result<ReadOnlyEmbedded> {
    let settings = settings::embedded(config);
    Ok(ReadOnlyEmbedded::open(&config.data_dir, &settings)?)
}

/// The log of a data folder begins with its first record.
fn from_the_beginning(broker: &dyn Broker) -> Vec<LogOrigin> {
    let origin = LogOrigin {
        begin: 0,
        id: Some(Id::ZERO),
    };
    vec![origin; usize::from(broker.partitions())]
}
