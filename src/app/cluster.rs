//! The cluster mode: the log in Kafka, history and directory in HBase, files in HDFS, presence in
//! Redis.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::backends::Ports;
use crate::adapters::hbase::{CONTRACT, HBase, LogRow, SchemaError};
use crate::adapters::hdfs::{self, HdfsStore};
use crate::adapters::kafka::{self, KafkaBroker, StartError};
use crate::adapters::redis::{self, RedisPresence};
use crate::chat::fold::WINDOW_MS;
use crate::config::Config;
use crate::http::health::{Part, Readiness};
use crate::ports::PortError;
use crate::ports::directory::Claim;

/// How long to wait before something that is away is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The back ends of a cluster, connected when they are needed.
pub struct Cluster {
    hbase: HBase,
    files: Arc<HdfsStore>,
    presence: Arc<RedisPresence>,
    kafka: kafka::Settings,
}

/// Why something did not work at the start.
enum Hindrance {
    /// Trying again may help.
    Away(anyhow::Error),
    /// An operator has to look.
    Wrong(anyhow::Error),
}

impl Cluster {
    /// Starts the clients; whoever is away is no error yet.
    pub fn open(config: &Config) -> anyhow::Result<Cluster> {
        let server = config.server_id();
        let chat = &config.chat;
        Ok(Cluster {
            hbase: HBase::start(&config.hbase).context("no thread for HBase can be started")?,
            files: Arc::new(HdfsStore::open(hdfs::Settings::new(&config.hdfs, &server))?),
            presence: Arc::new(RedisPresence::new(&redis::Settings {
                url: config.redis.url.as_str().to_owned(),
                prefix: config.redis.prefix.as_str().to_owned(),
                server_id: server.as_str().to_owned(),
                deadline: Duration::from_millis(config.redis.presence_deadline_ms),
            })?),
            kafka: kafka::Settings::new(&config.kafka, chat.partitions, chat.frame_bytes),
        })
    }

    /// The ports, once HBase has said which log this is and Kafka has it. Waits for both for as long
    /// as they are away; what is wrong with tables or topics is an error that says what to do.
    pub async fn ports(&self, readiness: &Readiness) -> anyhow::Result<Ports> {
        let known = once_there(readiness, Part::History, || self.known_log()).await?;
        let settings = kafka::Settings {
            partitions: known
                .as_ref()
                .map_or(self.kafka.partitions, |row| row.partitions),
            ..self.kafka.clone()
        };
        let partitions = settings.partitions;
        let connect = || async { Ok(KafkaBroker::connect(settings.clone()).await?) };
        let broker = once_there(readiness, Part::Broker, connect).await?;
        let row = match known {
            Some(row) => row,
            None => once_there(readiness, Part::History, || self.first_log(partitions)).await?,
        };
        anyhow::ensure!(
            row.partitions == partitions,
            "another server has just made the log with {} partitions and this one would have made it \
             with {partitions}: set chat.partitions alike and start again",
            row.partitions
        );
        Ok(Ports {
            broker: Arc::new(broker),
            history: self.hbase.history(row.partitions, row.generation),
            directory: self.hbase.directory(),
            files: self.files.clone(),
            presence: self.presence.clone(),
        })
    }

    /// The log that the tables belong to; none for new tables.
    async fn known_log(&self) -> Result<Option<LogRow>, Hindrance> {
        self.hbase.check_schema(None).await?;
        let row = self.hbase.log_row().await?;
        if let Some(row) = &row {
            self.is_ours(row)?;
        }
        Ok(row)
    }

    /// Says whose rows the tables get, unless another server was first.
    async fn first_log(&self, partitions: u16) -> Result<LogRow, Hindrance> {
        let row = LogRow {
            contract: CONTRACT,
            topic: self.kafka.messages_topic(),
            partitions,
            window_ms: WINDOW_MS,
            generation: 1,
            floors: Vec::new(),
        };
        match self.hbase.create_log_row(&row).await? {
            Claim::Made => Ok(row),
            Claim::Taken(stands) => {
                self.is_ours(&stands)?;
                Ok(stands)
            }
        }
    }

    fn is_ours(&self, row: &LogRow) -> Result<(), Hindrance> {
        let topic = self.kafka.messages_topic();
        let wrong = |text: String| Err(Hindrance::Wrong(anyhow::anyhow!(text)));
        if row.topic != topic {
            return wrong(format!(
                "the tables in HBase belong to the topic {} and kafka.topic_prefix makes this server's \
                 {topic}: correct kafka.topic_prefix, or hbase.namespace and hbase.table_prefix",
                row.topic
            ));
        }
        if row.window_ms != WINDOW_MS {
            return wrong(format!(
                "the log in HBase is read with a window of {} ms and this release has {WINDOW_MS} ms: \
                 all servers have to be of one release",
                row.window_ms
            ));
        }
        Ok(())
    }

    /// Waits until every upload is a file or gone.
    pub async fn close(self) -> anyhow::Result<()> {
        self.files.close().await?;
        // Their threads end with their last jobs.
        tokio::task::spawn_blocking(move || drop(self)).await?;
        Ok(())
    }
}

/// Tries until a part answers, and says meanwhile who is waited for.
async fn once_there<T, F: Future<Output = Result<T, Hindrance>>>(
    readiness: &Readiness,
    part: Part,
    mut attempt: impl FnMut() -> F,
) -> anyhow::Result<T> {
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(Hindrance::Wrong(error)) => return Err(error),
            Err(Hindrance::Away(error)) => {
                readiness.down(part, format!("{error:#}"));
                tracing::warn!(part = part.as_str(), "waiting to start: {error:#}");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

impl From<PortError> for Hindrance {
    fn from(error: PortError) -> Hindrance {
        match error {
            PortError::Unavailable { .. } => Hindrance::Away(error.into()),
            PortError::Broken { .. } | PortError::Stops { .. } => Hindrance::Wrong(error.into()),
        }
    }
}

impl From<SchemaError> for Hindrance {
    fn from(error: SchemaError) -> Hindrance {
        match error {
            SchemaError::Away(error) => Hindrance::Away(error.into()),
            SchemaError::Differs(_) => Hindrance::Wrong(error.into()),
        }
    }
}

impl From<StartError> for Hindrance {
    fn from(error: StartError) -> Hindrance {
        match error.is_away() {
            true => Hindrance::Away(error.into()),
            false => Hindrance::Wrong(error.into()),
        }
    }
}
