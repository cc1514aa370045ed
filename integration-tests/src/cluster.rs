//! What the servers of a test have for themselves in the real services: topics, tables, a folder,
//! keys and a signing key. All of it goes with the last who holds it.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::contract::random;
use crate::hbase::Tables;
use crate::on_hdfs::{self, Root};
use crate::on_kafka::{BROKERS, Topics};
use crate::{server, stack, within};

/// Where the services have Redis.
const REDIS: &str = "127.0.0.1:6379";

pub struct Cluster {
    pub tables: Tables,
    pub topics: Topics,
    pub root: Root,
    pub redis_prefix: String,
    secrets: TempDir,
}

impl Cluster {
    pub async fn fresh() -> Result<Arc<Cluster>> {
        stack::needs(&[BROKERS])?;
        Cluster::on(Topics::new()).await
    }

    /// With these topics.
    pub async fn on(topics: Topics) -> Result<Arc<Cluster>> {
        stack::needs(&[&stack::thrift(), &on_hdfs::address(), REDIS])?;
        let secrets = tempfile::tempdir()?;
        std::fs::write(secrets.path().join("key"), random().repeat(8))?;
        Ok(Arc::new(Cluster {
            tables: Tables::fresh().await?,
            topics,
            root: Root::random(),
            redis_prefix: format!("test-{}:", random()),
            secrets,
        }))
    }

    /// The settings that lead a server here.
    pub fn env(&self) -> Vec<(String, String)> {
        let hbase = &self.tables.settings;
        let kafka = self.topics.settings();
        let hdfs = self.root.settings();
        let key = self.secrets.path().join("key").display().to_string();
        let pairs = [
            ("LAKECHAT_MODE", "cluster"),
            ("LAKECHAT_KAFKA__BROKERS", &kafka.brokers),
            ("LAKECHAT_KAFKA__TOPIC_PREFIX", &kafka.topic_prefix),
            ("LAKECHAT_HBASE__THRIFT", &hbase.servers.join(",")),
            ("LAKECHAT_HBASE__NAMESPACE", &hbase.namespace),
            ("LAKECHAT_HBASE__TABLE_PREFIX", &hbase.table_prefix),
            ("LAKECHAT_HDFS__URL", &on_hdfs::url()),
            ("LAKECHAT_HDFS__ROOT", &self.root.0),
            ("LAKECHAT_HDFS__USER", &hdfs.user),
            ("LAKECHAT_REDIS__PREFIX", &self.redis_prefix),
            ("LAKECHAT_AUTH__SECRET_FILE", &key),
        ];
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// Redis' key that names the installation.
    pub fn owner_key(&self) -> String {
        format!("{}installation", self.redis_prefix)
    }

    /// Runs one of lakechat's commands here; it must end by itself.
    pub async fn command(&self, args: &[&str]) -> Result<Output> {
        let mut command = server::command(args);
        Ok(within(command.envs(self.env()).output()).await?)
    }

    /// What FsShell lists in a folder of the root, without the signs that servers live.
    pub fn files_in(&self, folder: &str) -> Result<Vec<PathBuf>> {
        let folder = format!("{}/{folder}", self.root.0);
        let listed = stack::try_run(&["fs", "-ls", "-R", &folder])?;
        let missing = String::from_utf8_lossy(&listed.stderr).contains("No such file");
        ensure!(listed.status.success() || missing, "{listed:?}");
        let lines = String::from_utf8_lossy(&listed.stdout);
        let files = lines.lines().filter(|line| line.starts_with('-'));
        let paths = files.filter_map(|line| line.split_whitespace().last());
        Ok(paths
            .filter(|path| !path.ends_with("/alive"))
            .map(PathBuf::from)
            .collect())
    }
}

impl Drop for Cluster {
    /// The only key that does not end by itself.
    fn drop(&mut self) {
        let key = self.owner_key();
        let removed = std::process::Command::new("redis-cli")
            .args(["del", &key])
            .output();
        if let Err(error) = removed {
            eprintln!("{key} is left in Redis: {error}");
        }
    }
}
