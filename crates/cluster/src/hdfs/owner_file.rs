//! Whose the root folder is: the file `installation` in it.
//!
//! It is written under another name and renamed, which HDFS refuses if the file exists: so it is there as a
//! whole or not at all, and of several servers one creates it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use rand::random;

use super::client::HdfsClient;
use super::exceptions::{broken, unavailable};
use super::layout::Layout;
use super::native::NativeClient;
use super::store::OpenError;
use super::{HadoopConf, HdfsSettings};
use crate::owner::{Installation, Place};
use lakechat_core::ports::PortError;

/// More than any installation's name needs.
const MAX_BYTES: u64 = 4096;

/// The file that names the installation of a root folder.
#[derive(Clone)]
pub struct OwnerFile {
    pub(super) client: Arc<dyn HdfsClient>,
    pub(super) layout: Layout,
}

impl OwnerFile {
    /// Must be called within a runtime. Does not connect: calls answer `Unavailable` while HDFS does not
    /// respond.
    pub fn new(settings: &HdfsSettings) -> Result<OwnerFile, OpenError> {
        let conf = HadoopConf::find(settings.conf_dir.as_deref())?;
        let client = NativeClient::new(settings, conf)
            .map_err(|error| OpenError::Client(Box::new(error)))?;
        Ok(OwnerFile::over(Arc::new(client), &settings.root))
    }

    pub(super) fn over(client: Arc<dyn HdfsClient>, root: &str) -> OwnerFile {
        OwnerFile {
            client,
            layout: Layout::new(root),
        }
    }

    /// When the folder was given to its owner, in ms since 1970 by the NameNode's clock; `None` if it has
    /// none.
    pub async fn owned_since_ms(&self) -> Result<Option<u64>, PortError> {
        let status = self.client.stat(&self.layout.owner()).await?;
        Ok(status.map(|status| status.modified_ms))
    }

    /// Creates the file unless it exists. Runs to its end even if the caller is gone: a file that is open for
    /// writing must be closed.
    async fn create(&self, installation: &Installation) -> Result<(), PortError> {
        let (file, text) = (self.clone(), format!("{}\n", installation.encode()));
        let created = tokio::spawn(async move { file.write_and_rename(text).await });
        created
            .await
            .unwrap_or_else(|panic| Err(broken(panic.to_string())))
    }

    async fn write_and_rename(&self, text: String) -> Result<(), PortError> {
        let (client, path) = (&self.client, self.layout.owner());
        let draft = format!("{path}.{:016x}", random::<u64>());
        client.make_folder(self.layout.root()).await?;
        let mut file = client.create(&draft).await?;
        let written = async {
            file.write(text.into()).await?;
            file.close().await
        };
        let named = match written.await {
            Ok(()) => client.rename(&draft, &path).await.map(drop),
            Err(error) => {
                // The error is already at hand; a leftover of some bytes does no harm.
                drop(client.delete(&draft, false).await);
                file.end_pipeline().await;
                return Err(error);
            }
        };
        // Another server was first, or the answer got lost: what stands decides.
        if named.is_err() {
            client.delete(&draft, false).await?;
        }
        named
    }
}

#[async_trait]
impl Place for OwnerFile {
    fn name(&self) -> String {
        format!("the folder {} in HDFS (hdfs.root)", self.layout.root())
    }

    async fn owner(&self) -> Result<Option<Installation>, PortError> {
        let path = self.layout.owner();
        if self.client.stat(&path).await?.is_none() {
            return Ok(None);
        }
        let file = self.client.open(&path).await?;
        let length = file.length().min(MAX_BYTES);
        let chunks: Vec<_> = file.read(0, length).try_collect().await?;
        let owner = Installation::decode(&chunks.concat());
        let damaged = || broken(format!("{path} does not name an installation"));
        owner.map(Some).ok_or_else(damaged)
    }

    async fn claim(&self, installation: &Installation) -> Result<Installation, PortError> {
        if let Some(owner) = self.owner().await? {
            return Ok(owner);
        }
        let created = self.create(installation).await;
        match self.owner().await? {
            Some(owner) => Ok(owner),
            None => {
                created?;
                Err(unavailable(format!("{} was removed", self.layout.owner())))
            }
        }
    }

    async fn reassign(&self, installation: &Installation) -> Result<(), PortError> {
        self.client.delete(&self.layout.owner(), false).await?;
        let owner = self.claim(installation).await?;
        match owner == *installation {
            true => Ok(()),
            false => Err(unavailable(format!("{owner} has just claimed it"))),
        }
    }
}
