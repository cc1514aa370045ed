//! librdkafka's consumer of one reader: which partitions it fetches, and which of its errors it survives.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::super::clients;
use super::super::events::ClientEvents;
use super::super::metadata::{self, TopicShape};
use super::super::settings::KafkaSettings;
use super::positions::Positions;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::Offset;

pub(super) struct FetchClient {
    consumer: BaseConsumer<ClientEvents>,
    pub events: ClientEvents,
    topic: String,
    fetched: Vec<Partition>,
    /// When to ask the brokers whether what is to be read is there. `None`: all of it is fetched.
    check_at: Option<Instant>,
    has_failed: bool,
}

/// What an error of a poll means.
pub(super) enum PollError {
    /// librdkafka reconnects by itself, and fetches everything again.
    Passes,
    /// The same, but at the moment nothing can be read.
    Away,
    /// A partition may not be fetched any more, or records may be skipped.
    Fetching(RDKafkaErrorCode),
}

impl FetchClient {
    /// A client that fetches nothing yet.
    pub fn new(settings: &KafkaSettings) -> KafkaResult<FetchClient> {
        let events = ClientEvents::of("reader");
        Ok(FetchClient {
            consumer: clients::reader(settings).create_with_context(events.clone())?,
            events,
            topic: settings.messages_topic(),
            fetched: Vec::new(),
            check_at: None,
            has_failed: false,
        })
    }

    pub fn check_is_due(&self) -> bool {
        self.check_at.is_some_and(|at| at <= Instant::now())
    }

    pub fn check_again(&mut self, after: Option<Duration>) {
        self.check_at = after.map(|after| Instant::now() + after);
    }

    /// A fetch has failed: some partition may not be fetched any more, or records of it may be skipped. The
    /// other partitions can be read until the check.
    pub fn fail(&mut self, check_after: Duration) {
        if !self.has_failed {
            self.has_failed = true;
            self.check_again(Some(check_after));
        }
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The topic's shape; `None` if it does not exist.
    pub fn shape(&self) -> KafkaResult<Option<TopicShape>> {
        metadata::shape(self.consumer.client(), &self.topic)
    }

    /// The start or end offsets of partitions.
    pub fn edge(
        &self,
        partitions: &[Partition],
        edge: rdkafka::Offset,
    ) -> KafkaResult<Vec<KafkaResult<Offset>>> {
        let asked: Vec<_> = partitions.iter().map(|p| (*p, edge)).collect();
        let found = metadata::ask(&self.consumer, &self.topic, &asked)?;
        let missing = KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset);
        let found = found
            .into_iter()
            .map(|offset| offset?.ok_or(missing.clone()));
        Ok(found.collect())
    }

    /// Fetches these partitions from these offsets.
    pub fn fetch(&mut self, from: &[(Partition, Offset)]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(from.len());
        for (partition, offset) in from {
            let offset = rdkafka::Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            list.add_partition_offset(&self.topic, partition.0.into(), offset)?;
        }
        self.consumer.assign(&list)?;
        self.fetched = from.iter().map(|(partition, _)| *partition).collect();
        Ok(())
    }

    /// Whether these partitions, and no others, are fetched.
    pub fn fetches(&self, from: &[(Partition, Offset)]) -> bool {
        let wanted = from.iter().map(|(partition, _)| partition);
        self.fetched.iter().eq(wanted)
    }

    pub fn consumer(&self) -> &BaseConsumer<ClientEvents> {
        &self.consumer
    }

    /// Moves the positions to where librdkafka has consumed the partitions.
    pub fn note_consumed(&self, positions: &mut Positions) {
        match self.consumer.position() {
            Ok(consumed) => positions.pass(&consumed),
            Err(error) => tracing::debug!(%error, "cannot get the consumer's positions"),
        }
    }
}

/// What an error that a poll has returned means for the client.
pub(super) fn meaning(error: &KafkaError) -> PollError {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code().unwrap_or(Code::Unknown) {
        // One of several brokers.
        Code::BrokerTransportFailure
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::NodeUpdate
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::RequestTimedOut
        | Code::Resolve
        | Code::SSL
        // The group, which no reader joins.
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::GroupAuthorizationFailed
        | Code::InvalidGroupId
        | Code::NotCoordinator
        | Code::WaitingForCoordinator => PollError::Passes,
        Code::AllBrokersDown | Code::Authentication | Code::SaslAuthenticationFailed => {
            PollError::Away
        }
        code => PollError::Fetching(code),
    }
}
