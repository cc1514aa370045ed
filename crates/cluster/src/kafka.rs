//! The log in Kafka: one topic whose partitions every server reads whole, and one for dead letters.
//!
//! librdkafka does the work. Its calls that wait run on threads of their own: one that asks for
//! offsets ([`questions`]), one that says which partitions are this server's to store ([`assignment`]),
//! and whoever polls a reader. Topics are made and checked when it connects ([`topics`]).

mod assignment;
mod clients;
mod dead_letters;
mod error;
mod events;
mod metadata;
mod producer;
mod questions;
mod reader;
mod settings;
mod start_error;
mod topic_health;
mod topics;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;

use self::assignment::Claims;
use self::dead_letters::DeadLetters;
use self::metadata::Asker;
use self::producer::Publisher;
use self::questions::Questions;
use self::reader::KafkaReader;
use self::topic_health::Fault;
use self::topics::Prepared;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{
    DeadLetter, LogReader, Offset, OutgoingRecord, PublishFailureHandler,
};
use lakechat_core::ports::{Broker, PortError};

pub use self::settings::Settings;
pub use self::start_error::{StartError, TopicFault};

/// The log, connected. Dropping it gives what is on its way a second, and leaves the group of those
/// who store.
pub struct KafkaBroker {
    settings: Arc<Settings>,
    publisher: Publisher,
    questions: Questions,
    claims: Claims,
    dead_letters: DeadLetters,
    fault: Arc<Fault>,
    warnings: Vec<String>,
    kept: Option<Duration>,
}

impl KafkaBroker {
    /// Connects, makes the topics that are missing and checks those that are there.
    ///
    /// [`StartError::is_away`] tells what is worth another try. Takes 10 seconds at most. Dropping is
    /// safe.
    pub async fn connect(settings: Settings) -> Result<KafkaBroker, StartError> {
        let runtime = Handle::current();
        let connected =
            tokio::task::spawn_blocking(move || KafkaBroker::connect_blocking(settings, &runtime));
        connected
            .await
            .unwrap_or_else(|panic| Err(StartError::Thread(panic.to_string())))
    }

    fn connect_blocking(settings: Settings, runtime: &Handle) -> Result<KafkaBroker, StartError> {
        let settings = Arc::new(settings);
        let fault = Arc::new(Fault::default());
        let asker = Asker::new(&settings)?;
        let Prepared { warnings, kept } = runtime.block_on(topics::prepare(&settings, &asker))?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Ok(KafkaBroker {
            publisher: Publisher::new(&settings)?,
            questions: Questions::start(asker, Arc::clone(&fault))?,
            claims: Claims::new(Arc::clone(&settings)),
            dead_letters: DeadLetters::new(&settings),
            settings,
            fault,
            warnings,
            kept,
        })
    }

    /// What the topics lack for all promises to hold, as it was logged at the start: a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    fn partitions(&self) -> u16 {
        self.settings.partitions
    }

    fn now_ms(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        since_1970.map_or(0, |passed| passed.as_millis() as u64)
    }

    fn on_publish_failure(&self, handler: PublishFailureHandler) {
        self.publisher.on_publish_failure(handler);
    }

    fn publish(&self, record: OutgoingRecord) -> Result<(), PortError> {
        self.fault.check()?;
        self.publisher.publish(&record)
    }

    fn reader(&self, from: &[(Partition, Offset)]) -> Result<Box<dyn LogReader>, PortError> {
        self.fault.check()?;
        Ok(Box::new(KafkaReader::open(&self.settings, from)?))
    }

    async fn end_offsets(&self) -> Result<Vec<Offset>, PortError> {
        self.publisher.gauge();
        self.fault.check()?;
        self.questions.ask(Asker::end_offsets).await
    }

    async fn start_offsets(&self) -> Result<Vec<Offset>, PortError> {
        self.questions.ask(Asker::start_offsets).await
    }

    fn retention(&self) -> Option<Duration> {
        self.kept
    }

    async fn offsets_for_times(
        &self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Offset>, PortError> {
        let times = times.to_vec();
        let find = move |asker: &mut Asker| asker.offsets_for_times(&times);
        self.questions.ask(find).await
    }

    fn assigned_partitions(&self) -> watch::Receiver<Vec<Partition>> {
        self.claims.subscribe()
    }

    fn mark_archived(&self, partition: Partition, below: Offset) {
        self.claims.mark_archived(partition, below);
    }

    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        self.dead_letters.dead_letter(letters).await
    }

    fn fault(&self) -> Option<String> {
        self.fault.reason()
    }
}
