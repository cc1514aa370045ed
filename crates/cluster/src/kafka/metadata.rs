//! Queries of the log: its first and last offsets, the offset of a time, its partitions.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaRespErr;

use super::clients;
use super::error::{call_failed, unavailable};
use super::events::ClientEvents;
use super::settings::KafkaSettings;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::Offset;

/// How long a query may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// How long a poll for the next event waits.
const EVENT_WAIT: Duration = Duration::from_millis(10);

/// A topic as its brokers describe it.
pub(super) struct TopicShape {
    pub partitions: usize,
    /// Those of the partition that has the fewest.
    pub replicas: usize,
}

/// A consumer that reads no records. Its calls block, so it lives on a thread of its own.
pub(super) struct MetadataClient {
    consumer: BaseConsumer<ClientEvents>,
    events: ClientEvents,
    settings: Arc<KafkaSettings>,
    topic: String,
    /// The latest known end offsets. An end never goes back, unless the topic was made anew or records
    /// were lost.
    ends: Vec<Offset>,
}

impl MetadataClient {
    pub fn new(settings: &Arc<KafkaSettings>) -> Result<MetadataClient, KafkaError> {
        let events = ClientEvents::of("questions");
        let consumer = clients::metadata_client(settings).create_with_context(events.clone())?;
        Ok(MetadataClient {
            consumer,
            events,
            topic: settings.messages_topic(),
            ends: vec![0; usize::from(settings.partitions)],
            settings: Arc::clone(settings),
        })
    }

    pub fn settings(&self) -> &KafkaSettings {
        &self.settings
    }

    /// Handles librdkafka's queued events: they reach the context only when the consumer is polled.
    pub fn listen(&self) {
        // Errors go to the context; no partition is assigned, so there are no records.
        while self.consumer.poll(EVENT_WAIT).is_some() {}
    }

    pub fn end_offsets(&mut self) -> Result<Vec<Offset>, PortError> {
        let ends = self.of_all(rdkafka::Offset::End)?;
        for (partition, (known, end)) in self.ends.iter().zip(&ends).enumerate() {
            if end < known {
                return Err(unavailable(format!(
                    "partition {partition} of {} ends at {end} and ended at {known} before: it was \
                     made anew, or its brokers lost records",
                    self.topic
                )));
            }
        }
        self.ends.clone_from(&ends);
        Ok(ends)
    }

    pub fn start_offsets(&mut self) -> Result<Vec<Offset>, PortError> {
        self.of_all(rdkafka::Offset::Beginning)
    }

    pub fn offsets_for_times(
        &mut self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Offset>, PortError> {
        // Before the query: a record that is written after it may be later than the time, and must not be
        // skipped.
        let ends = self.of_all(rdkafka::Offset::End)?;
        let at = |&(partition, ms): &(Partition, u64)| {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            (partition, rdkafka::Offset::Offset(ms))
        };
        let asked: Vec<_> = times.iter().map(at).collect();
        let found = self.ask(&asked)?;
        let or_end = |(found, (partition, _)): (Option<Offset>, &(Partition, u64))| {
            found.unwrap_or_else(|| ends[partition.index()])
        };
        Ok(found.into_iter().zip(times).map(or_end).collect())
    }

    /// A topic's shape; `None` if it does not exist.
    pub fn shape(&self, topic: &str) -> Result<Option<TopicShape>, PortError> {
        self.explained(shape(self.consumer.client(), topic))
    }

    fn of_all(&self, place: rdkafka::Offset) -> Result<Vec<Offset>, PortError> {
        let all: Vec<_> = (0..self.settings.partitions)
            .map(|p| (Partition(p), place))
            .collect();
        let found = self.ask(&all)?;
        let missing =
            || unavailable("Kafka gave no offset for the beginning or the end of a partition");
        let found = found.into_iter().map(|offset| offset.ok_or_else(missing));
        found.collect()
    }

    fn ask(
        &self,
        places: &[(Partition, rdkafka::Offset)],
    ) -> Result<Vec<Option<Offset>>, PortError> {
        self.explained(ask(&self.consumer, &self.topic, places))
    }

    /// Adds librdkafka's latest event to an error.
    fn explained<T>(&self, answer: Result<T, KafkaError>) -> Result<T, PortError> {
        match answer {
            Ok(answer) => {
                self.events.clear_error();
                Ok(answer)
            }
            Err(error) => {
                self.listen();
                Err(call_failed(error, &self.events))
            }
        }
    }
}

/// The offsets of places, which are [`rdkafka::Offset::Beginning`], `End`, or a time in ms as a number;
/// `None` for a time after the last record. One call for all of them.
pub(super) fn ask(
    consumer: &BaseConsumer<ClientEvents>,
    topic: &str,
    places: &[(Partition, rdkafka::Offset)],
) -> Result<Vec<Option<Offset>>, KafkaError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (partition, place) in places {
        list.add_partition_offset(topic, partition.0.into(), *place)?;
    }
    let found = consumer.offsets_for_times(list, DEADLINE)?;
    let offset = |(partition, _): &(Partition, _)| {
        let element = found.find_partition(topic, partition.0.into());
        let element = element.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
        element.error()?;
        let offset = element.offset().to_raw();
        Ok(offset.and_then(|offset| Offset::try_from(offset).ok()))
    };
    places.iter().map(offset).collect()
}

/// A topic's shape; `None` if a broker says that it does not exist.
pub(super) fn shape(
    client: &Client<ClientEvents>,
    topic: &str,
) -> Result<Option<TopicShape>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), DEADLINE)?;
    let found = metadata.topics().iter().find(|t| t.name() == topic);
    match found.map(|t| (t, t.error())) {
        Some((found, None)) => Ok(Some(shape_of(found))),
        None | Some((_, Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART))) => Ok(None),
        Some((_, Some(error))) => Err(KafkaError::MetadataFetch(error.into())),
    }
}

fn shape_of(topic: &MetadataTopic) -> TopicShape {
    let replicas = topic.partitions().iter().map(|p| p.replicas().len());
    TopicShape {
        partitions: topic.partitions().len(),
        replicas: replicas.min().unwrap_or(0),
    }
}
