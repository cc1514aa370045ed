//! The log in Kafka: one topic whose partitions every server reads completely, and one for dead letters.
//!
//! librdkafka does the work. Its blocking calls run on threads of their own: one queries offsets and
//! metadata ([`questions`]), one is a member of the archivers' consumer group ([`assignment`]), and each
//! reader is polled by its owner's. Topics are created and checked when the broker connects ([`topics`]).

mod assignment;
mod clients;
mod dead_letters;
mod dead_letters_reader;
mod doubts;
mod error;
mod events;
mod metadata;
#[cfg(test)]
mod mock_log;
mod owner_topic;
mod pace;
mod paced_publisher;
mod producer;
mod questions;
mod reader;
mod settings;
mod start_error;
mod topic_health;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;

use self::assignment::Assignment;
use self::dead_letters::DeadLetters;
use self::doubts::Doubts;
use self::metadata::MetadataClient;
use self::paced_publisher::PacedPublisher;
use self::producer::Publisher;
use self::questions::Questions;
use self::reader::KafkaReader;
use self::topic_health::TopicHealth;
use self::topics::{TopicAdmin, TopicWatch};
use lakechat_core::domain::{Partition, now_ms};
use lakechat_core::ports::broker::{
    DeadLetter, DeadLetterListing, LogReader, Offset, OutgoingRecord, PublishFailureHandler,
};
use lakechat_core::ports::{Broker, PerPartition, PortError};

pub use self::owner_topic::OwnerTopic;
pub use self::settings::KafkaSettings;
pub use self::start_error::{StartError, TopicFault};

/// The connected log. Dropping it waits up to a second for records in flight, and leaves the archivers'
/// group.
pub struct KafkaBroker {
    settings: Arc<KafkaSettings>,
    publisher: PacedPublisher,
    questions: Questions,
    assignment: Assignment,
    dead_letters: DeadLetters,
    health: Arc<TopicHealth>,
    doubts: Arc<Doubts>,
    topics: TopicWatch,
    /// By partition, the first offset that is read; empty: everything that the topic keeps.
    begins: Vec<Offset>,
}

impl KafkaBroker {
    /// Connects, creates missing topics and checks existing ones. Takes 10 seconds at most.
    ///
    /// A retry may help if [`StartError::is_unavailable`]. The future may be dropped.
    pub async fn connect(settings: KafkaSettings) -> Result<KafkaBroker, StartError> {
        KafkaBroker::open(settings, true).await
    }

    /// Connects to topics that exist, and checks them. A missing one counts as away.
    pub async fn connect_existing(settings: KafkaSettings) -> Result<KafkaBroker, StartError> {
        KafkaBroker::open(settings, false).await
    }

    async fn open(settings: KafkaSettings, creates: bool) -> Result<KafkaBroker, StartError> {
        let runtime = Handle::current();
        let connected = tokio::task::spawn_blocking(move || {
            KafkaBroker::connect_blocking(settings, creates, &runtime)
        });
        connected
            .await
            .unwrap_or_else(|panic| Err(StartError::Thread(panic.to_string())))
    }

    fn connect_blocking(
        settings: KafkaSettings,
        creates: bool,
        runtime: &Handle,
    ) -> Result<KafkaBroker, StartError> {
        let settings = Arc::new(settings);
        let health = Arc::new(TopicHealth::default());
        let doubts = Arc::new(Doubts::new(settings.believe_after));
        let asker = MetadataClient::new(&settings)?;
        let admin = TopicAdmin::new(&settings)?;
        let mut state = match creates {
            true => runtime.block_on(admin.prepare())?,
            false => runtime.block_on(admin.describe())?,
        };
        if !state.faults.is_empty() {
            return Err(StartError::Topics(std::mem::take(&mut state.faults)));
        }
        let publisher = PacedPublisher::start(Publisher::new(&settings)?, settings.queue_bytes);
        Ok(KafkaBroker {
            publisher: publisher.map_err(|error| StartError::Thread(error.to_string()))?,
            questions: Questions::start(asker, Arc::clone(&health), Arc::clone(&doubts))?,
            assignment: Assignment::new(Arc::clone(&settings)),
            dead_letters: DeadLetters::new(&settings),
            settings,
            health,
            doubts,
            topics: TopicWatch::start(admin, state, runtime),
            begins: Vec::new(),
        })
    }

    /// Leaves out what lies below these offsets, by partition: an operator had lakechat adopt the log from
    /// there on.
    pub fn beginning_at(self, begins: Vec<Offset>) -> KafkaBroker {
        KafkaBroker { begins, ..self }
    }

    /// The offset, or that at which the partition begins if it is larger.
    fn not_below_begin(&self, partition: Partition, offset: Offset) -> Offset {
        let begin = self.begins.get(partition.index()).copied();
        offset.max(begin.unwrap_or(0))
    }

    /// What makes messages less safe than they could be, as it was logged: a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.topics.warnings()
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    fn partitions(&self) -> u16 {
        self.settings.partitions
    }

    fn now_ms(&self) -> u64 {
        now_ms()
    }

    fn on_publish_failure(&self, handler: PublishFailureHandler) {
        self.publisher.publisher().on_publish_failure(handler);
    }

    fn publish(&self, record: OutgoingRecord) -> Result<(), PortError> {
        self.health.check()?;
        self.publisher.publish(record)
    }

    fn reader(&self, from: &[(Partition, Offset)]) -> Result<Box<dyn LogReader>, PortError> {
        self.health.check()?;
        Ok(Box::new(KafkaReader::new(
            &self.settings,
            &self.doubts,
            from,
        )))
    }

    fn background_reader(
        &self,
        from: &[(Partition, Offset)],
        read_ahead_bytes: usize,
    ) -> Result<Box<dyn LogReader>, PortError> {
        self.health.check()?;
        let settings = KafkaSettings {
            fetch_bytes: read_ahead_bytes.min(self.settings.fetch_bytes),
            ..KafkaSettings::clone(&self.settings)
        };
        Ok(Box::new(KafkaReader::new(
            &Arc::new(settings),
            &self.doubts,
            from,
        )))
    }

    async fn end_offsets(&self) -> Result<PerPartition<Offset>, PortError> {
        self.publisher.record_queue_length();
        self.health.check()?;
        let doubts = Arc::clone(&self.doubts);
        self.questions
            .ask(move |asker| asker.end_offsets(&doubts))
            .await
    }

    async fn start_offsets(&self) -> Result<PerPartition<Offset>, PortError> {
        let kept = self.questions.ask(MetadataClient::start_offsets).await?;
        let kept = kept.map(|partition, start| self.not_below_begin(partition, start));
        Ok(kept)
    }

    fn retention(&self) -> Option<Duration> {
        self.topics.retention()
    }

    async fn offsets_for_times(
        &self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Result<Offset, PortError>>, PortError> {
        let asked = times.to_vec();
        let find = move |asker: &mut MetadataClient| asker.offsets_for_times(&asked);
        let found = times.iter().zip(self.questions.ask(find).await?);
        Ok(found
            .map(|((p, _), offset)| Ok(self.not_below_begin(*p, offset?)))
            .collect())
    }

    fn assigned_partitions(&self) -> watch::Receiver<Vec<Partition>> {
        self.assignment.subscribe()
    }

    fn mark_archived(&self, partition: Partition, below: Offset) {
        self.assignment.mark_archived(partition, below);
    }

    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        self.dead_letters.dead_letter(letters).await
    }

    async fn dead_letters(&self) -> Result<DeadLetterListing, PortError> {
        dead_letters_reader::list(&self.settings)
    }

    fn fault(&self) -> Option<String> {
        self.health.reason()
    }
}
