//! The cluster mode: the log in Kafka, history and directory in HBase, files in HDFS, presence in
//! Redis.

pub mod places;

use std::sync::{Arc, OnceLock};

use anyhow::Context as _;

use self::places::Places;
use super::ports::Ports;
use super::settings;
use super::waiting::{StepError, retry_while_unavailable};
use crate::config::Config;
use crate::readiness::{Part, Readiness};
use lakechat_cluster::hbase::{CONTRACT, HBase, LogRow, SchemaError};
use lakechat_cluster::hdfs::{HdfsSettings, HdfsStore, OwnedStore};
use lakechat_cluster::kafka::{self, KafkaBroker, StartError};
use lakechat_cluster::owner::Installation;
use lakechat_cluster::redis::{RedisPresence, RedisRevocations, RedisSettings};
use lakechat_cluster::sweep_guard::ClusterSweepGuard;
use lakechat_core::chat::WINDOW_MS;
use lakechat_core::ports::FileStore;
use lakechat_core::ports::directory::CreateOutcome;

/// The back ends of a cluster, connected when they are needed.
pub struct Cluster {
    hbase: HBase,
    places: Places,
    kafka: kafka::KafkaSettings,
    hdfs: HdfsSettings,
    redis: RedisSettings,
    /// Open from the time on that it is known whose its folder is.
    files: OnceLock<Arc<dyn FileStore>>,
}

impl Cluster {
    /// Starts the clients; a service that is unavailable isn't an error yet.
    pub fn open(config: &Config) -> anyhow::Result<Cluster> {
        let hbase = HBase::start(&settings::hbase(&config.hbase));
        Ok(Cluster {
            hbase: hbase.context("no thread for HBase can be started")?,
            places: Places::new(config)?,
            kafka: settings::kafka(config, config.chat.partitions),
            hdfs: settings::hdfs(config),
            redis: settings::redis(config),
            files: OnceLock::new(),
        })
    }

    /// The ports, once HBase has said which log this is and Kafka has it. Waits for both for as long
    /// as they are away; what is wrong with tables or topics is an error that says what to do.
    pub async fn ports(&self, readiness: &Readiness) -> anyhow::Result<Ports> {
        let known =
            retry_while_unavailable(readiness, Part::History, || self.stored_log_row()).await?;
        let settings = kafka::KafkaSettings {
            partitions: known
                .as_ref()
                .map_or(self.kafka.partitions, |row| row.partitions),
            ..self.kafka.clone()
        };
        let partitions = settings.partitions;
        let connect = || async { Ok(KafkaBroker::connect(settings.clone()).await?) };
        let broker = retry_while_unavailable(readiness, Part::Broker, connect).await?;
        let claim = || self.places.claim(&self.hbase);
        let ours = retry_while_unavailable(readiness, Part::Broker, claim).await?;
        let row = match known {
            Some(row) => row,
            None => {
                retry_while_unavailable(readiness, Part::History, || {
                    self.create_log_row_if_absent(partitions)
                })
                .await?
            }
        };
        anyhow::ensure!(
            row.partitions == partitions,
            "another server has just created the log with {} partitions, but chat.partitions here is \
             {partitions}: set the same value on all servers and start again",
            row.partitions
        );
        Ok(Ports {
            broker: Arc::new(broker.beginning_at(row.begins())),
            history: self.hbase.history(row.partitions, row.generation),
            directory: self.hbase.directory(),
            files: self.open_files(&ours)?,
            sweep_guard: Arc::new(ClusterSweepGuard::new(
                self.hbase.clone(),
                self.places.file.clone(),
                ours.clone(),
            )),
            revocations: Arc::new(RedisRevocations::new(&self.redis, &ours)?),
            presence: Arc::new(RedisPresence::new(&self.redis, ours)?),
        })
    }

    fn open_files(&self, ours: &Installation) -> anyhow::Result<Arc<dyn FileStore>> {
        let store = HdfsStore::open(self.hdfs.clone())?;
        let store = OwnedStore::new(store, self.places.file.clone(), ours.clone());
        let store: Arc<dyn FileStore> = Arc::new(store);
        Ok(self.files.get_or_init(|| store).clone())
    }

    /// The log that the tables belong to; none for new tables.
    async fn stored_log_row(&self) -> Result<Option<LogRow>, StepError> {
        self.hbase.check_schema(None).await?;
        let row = self.hbase.log_row().await?;
        if let Some(row) = &row {
            self.ensure_is_this_log(row)?;
        }
        Ok(row)
    }

    /// Says whose rows the tables get, unless another server was first.
    async fn create_log_row_if_absent(&self, partitions: u16) -> Result<LogRow, StepError> {
        let row = LogRow {
            contract: CONTRACT,
            topic: self.kafka.messages_topic(),
            partitions,
            window_ms: WINDOW_MS,
            generation: 1,
            floors: Vec::new(),
            starts: Vec::new(),
        };
        match self.hbase.create_log_row(&row).await? {
            CreateOutcome::Created => Ok(row),
            CreateOutcome::Exists(stands) => {
                self.ensure_is_this_log(&stands)?;
                Ok(stands)
            }
        }
    }

    fn ensure_is_this_log(&self, row: &LogRow) -> Result<(), StepError> {
        let topic = self.kafka.messages_topic();
        let wrong = |text: String| Err(StepError::Fatal(anyhow::anyhow!(text)));
        if row.topic != topic {
            return wrong(format!(
                "the tables in HBase belong to topic {}, but kafka.topic_prefix points this server at \
                 {topic}: correct kafka.topic_prefix, or hbase.namespace and hbase.table_prefix",
                row.topic
            ));
        }
        if row.window_ms != WINDOW_MS {
            return wrong(format!(
                "the tables in HBase were written with a window of {} ms, but this release uses {WINDOW_MS} \
                 ms: run the same release on all servers",
                row.window_ms
            ));
        }
        Ok(())
    }

    /// Waits until every upload is a file or gone.
    pub async fn close(self) -> anyhow::Result<()> {
        if let Some(files) = self.files.get() {
            files.close().await?;
        }
        // Their threads end with their last jobs.
        tokio::task::spawn_blocking(move || drop(self)).await?;
        Ok(())
    }
}

impl From<SchemaError> for StepError {
    fn from(error: SchemaError) -> StepError {
        match error {
            SchemaError::Unavailable(error) => StepError::unavailable(error),
            SchemaError::Differs(_) => StepError::Fatal(error.into()),
        }
    }
}

impl From<StartError> for StepError {
    fn from(error: StartError) -> StepError {
        match error.is_unavailable() {
            true => StepError::unavailable(error),
            false => StepError::Fatal(error.into()),
        }
    }
}
