//! The file store over a real HDFS. Everything else stands on disk.

use std::env;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use lakechat_cluster::hdfs::{HdfsSettings, HdfsStore, OwnerFile};
use lakechat_cluster::owner::Place;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{DeadLetter, Offset};
use lakechat_core::ports::{Broker, Directory, FileStore, History};

use crate::contract::place::PlaceBackend;
use crate::contract::{Backend, random};
use crate::on_disk::{self, OnDisk};
use crate::stack;

/// Where the NameNode listens; TEST_HDFS_URL names another.
const URL: &str = "hdfs://127.0.0.1:9000";

pub fn url() -> String {
    env::var("TEST_HDFS_URL").unwrap_or_else(|_| URL.to_owned())
}

/// The same without its scheme.
pub fn address() -> String {
    url().replace("hdfs://", "")
}

/// A folder in HDFS that goes with it.
pub struct Root(pub String, IsKept);

type IsKept = bool;

impl Root {
    pub fn random() -> Root {
        Root(format!("/lakechat-test-{}", random()), false)
    }

    /// Somebody else's, which stays.
    pub fn kept(path: String) -> Root {
        Root(path, true)
    }

    pub fn settings(&self) -> HdfsSettings {
        HdfsSettings {
            // Whoever runs the tests started the NameNode, and is its superuser.
            user: env::var("USER").unwrap_or_else(|_| "root".to_owned()),
            ..HdfsSettings::at(&url(), &self.0, "test")
        }
    }

    pub fn store(&self) -> Result<HdfsStore> {
        Ok(HdfsStore::open(self.settings())?)
    }
}

impl PlaceBackend for Root {
    fn place(&self) -> Result<impl Place + 'static> {
        stack::needs(&[&address()])?;
        Ok(OwnerFile::new(&self.settings())?)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.1 {
            return;
        }
        let path = self.0.clone();
        let url = url();
        // A thread, as a runtime may be around and must not be blocked on.
        let removal = std::thread::spawn(move || {
            let client = hdfs_native::sync::ClientBuilder::new()
                .with_url(url)
                .build()?;
            client.delete(&path, true)
        });
        if let Ok(Err(error)) = removal.join() {
            eprintln!("{} is left in HDFS: {error}", self.0);
        }
    }
}

/// The back ends of a test: dropped in this order.
pub struct OnHdfs {
    pub store: Arc<HdfsStore>,
    rest: OnDisk,
    pub root: Root,
}

pub async fn fresh() -> Result<OnHdfs> {
    stack::needs(&[&address()])?;
    let root = Root::random();
    Ok(OnHdfs {
        store: Arc::new(root.store()?),
        rest: on_disk::fresh().await?,
        root,
    })
}

impl OnHdfs {
    /// The drafts of all runs, as another client sees them.
    pub async fn draft_names(&self) -> Result<Vec<String>> {
        let client = client()?;
        let tmp = format!("{}/tmp", self.root.0);
        let mut names = Vec::new();
        let below = client.list_status_iter(&tmp, true);
        while let Some(entry) = below.next().await {
            match entry {
                Ok(entry) if !entry.isdir && !entry.path.ends_with("/alive") => {
                    names.push(entry.path);
                }
                Ok(_) => {}
                // Nothing there yet, or a folder that goes meanwhile.
                Err(error) if error.to_string().contains("not found") => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(names)
    }
}

impl Backend for OnHdfs {
    fn broker(&self) -> Arc<dyn Broker> {
        self.rest.broker()
    }

    fn history(&self) -> Arc<dyn History> {
        self.rest.history()
    }

    fn directory(&self) -> Directory {
        self.rest.directory()
    }

    fn file_store(&self) -> Arc<dyn FileStore> {
        Arc::clone(&self.store) as Arc<dyn FileStore>
    }

    async fn reopen(self) -> Result<OnHdfs> {
        let OnHdfs { store, rest, root } = self;
        drop(store);
        Ok(OnHdfs {
            store: Arc::new(root.store()?),
            rest: rest.reopen().await?,
            root,
        })
    }

    async fn forget_below(&self, partition: Partition, offset: Offset) -> Result<bool> {
        self.rest.forget_below(partition, offset).await
    }

    async fn dead_letters(&self, count: usize) -> Result<Vec<DeadLetter>> {
        self.rest.dead_letters(count).await
    }

    async fn drafts(&self) -> Result<usize> {
        Ok(self.draft_names().await?.len())
    }
}

/// Any client of HDFS.
pub fn client() -> Result<hdfs_native::Client> {
    let builder = hdfs_native::ClientBuilder::new();
    Ok(builder.with_url(url()).build()?)
}

/// The text in a file.
pub async fn text_in(path: &str) -> Result<String> {
    let file = client()?.read(path).await?;
    let bytes = file.read_range(0, file.file_length()).await?;
    Ok(String::from_utf8(bytes.to_vec())?)
}

/// Makes a file look as if it was closed so long ago.
pub async fn age(path: &str, by: Duration) -> Result<()> {
    let then = UNIX_EPOCH.elapsed()? - by;
    let then_ms = then.as_millis() as u64;
    Ok(client()?.set_times(path, then_ms, then_ms).await?)
}

/// Runs Hadoop's own shell: `-cat …`.
pub fn fs_shell(arguments: &[&str]) -> Result<Vec<u8>> {
    stack::run(&[&["fs"], arguments].concat())
}

/// Runs Hadoop's administration of HDFS: `-setSpaceQuota …`.
pub fn dfs_admin(arguments: &[&str]) -> Result<Vec<u8>> {
    let admin = ["java", "hdfs", "org.apache.hadoop.hdfs.tools.DFSAdmin"];
    stack::run(&[&admin, arguments].concat())
}
