//! What stands behind the ports: chosen here, and nowhere else.

use std::sync::Arc;

#[cfg(feature = "cluster")]
use super::cluster::Cluster;
use super::ports::Ports;
use super::settings;
use crate::config::{Config, Mode};
use crate::readiness::{Part, Readiness};
use lakechat_core::ports::revocations::OnlyServer;
use lakechat_embedded::{Embedded, MemoryPresence, SameFolder};

/// Which key of the configuration says where a part is, and what it says. A data folder's parts are in
/// one place, which they name themselves.
pub fn configured_address(config: &Config, part: Part) -> Option<String> {
    if config.mode == Mode::Embedded {
        return None;
    }
    Some(match part {
        Part::Broker => format!("kafka.brokers = {}", config.kafka.brokers.joined()),
        Part::History | Part::Directory => {
            format!("hbase.thrift = {}", config.hbase.thrift.joined())
        }
        // It stands between the log and history; its errors name the one they mean.
        Part::Archiver => return None,
        Part::Files => format!("hdfs.url = {}", config.hdfs.url.as_str()),
        Part::Presence => format!("redis.url = {}", config.redis.url.address()),
    })
}

/// The back ends of one mode.
pub enum Backends {
    Embedded {
        embedded: Embedded,
        server: String,
    },
    #[cfg(feature = "cluster")]
    Cluster(Box<Cluster>),
}

impl Backends {
    /// Opens the back ends that need no other service.
    pub fn open(config: &Config) -> anyhow::Result<Backends> {
        let (data_dir, version) = (config.data_dir.display(), env!("CARGO_PKG_VERSION"));
        match config.mode {
            Mode::Embedded => {
                let embedded = Embedded::open(&config.data_dir, settings::embedded(config))?;
                tracing::info!(mode = "embedded", %data_dir, version, "lakechat starts");
                let server = config.server_id().as_str().to_owned();
                Ok(Backends::Embedded { embedded, server })
            }
            #[cfg(feature = "cluster")]
            Mode::Cluster => {
                let cluster = Cluster::open(config)?;
                tracing::info!(
                    mode = "cluster",
                    kafka = %config.kafka.brokers.joined(),
                    hbase = %config.hbase.thrift.joined(),
                    hdfs = config.hdfs.url.as_str(),
                    redis = config.redis.url.address(),
                    version,
                    "lakechat starts"
                );
                Ok(Backends::Cluster(Box::new(cluster)))
            }
            #[cfg(not(feature = "cluster"))]
            Mode::Cluster => unreachable!("the configuration refuses it"),
        }
    }

    /// Their ports, as soon as they answer.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(unused_variables, reason = "only a cluster may take long to connect")
    )]
    pub async fn ports(&self, readiness: &Readiness) -> anyhow::Result<Ports> {
        match self {
            Backends::Embedded { embedded, server } => Ok(Ports {
                broker: embedded.broker(),
                history: embedded.history(),
                directory: embedded.directory(),
                files: embedded.file_store(),
                sweep_guard: Arc::new(SameFolder),
                presence: Arc::new(MemoryPresence::new(server)),
                revocations: Arc::new(OnlyServer),
            }),
            #[cfg(feature = "cluster")]
            Backends::Cluster(cluster) => cluster.ports(readiness).await,
        }
    }

    /// Why the process has to end, once there is such a reason.
    pub async fn failed(&self) -> String {
        match self {
            Backends::Embedded { embedded, .. } => {
                let reason = embedded.failed().await;
                format!("the data folder can't be trusted: {reason}")
            }
            #[cfg(feature = "cluster")]
            // Whatever fails there is away, and comes back.
            Backends::Cluster(_) => std::future::pending().await,
        }
    }

    /// Writes what is queued and closes the back ends.
    pub async fn close(self) -> anyhow::Result<()> {
        match self {
            // On a thread that may block.
            Backends::Embedded { embedded, .. } => {
                tokio::task::spawn_blocking(move || drop(embedded)).await?;
                Ok(())
            }
            #[cfg(feature = "cluster")]
            Backends::Cluster(cluster) => cluster.close().await,
        }
    }
}
