//! Queries of the log: its first and last offsets, the offset of a time, its partitions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaRespErr;

use super::clients;
use super::doubts::{Claim, Doubts};
use super::error::{call_failed, call_failed_for, stops, unavailable};
use super::events::ClientEvents;
use super::settings::KafkaSettings;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::Offset;
use lakechat_core::ports::{PerPartition, PortError};

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
    /// The largest known end offsets. An end never goes back, unless the topic was made anew or records
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

    pub fn end_offsets(&mut self, doubts: &Doubts) -> Result<PerPartition<Offset>, PortError> {
        let ends = self.of_all(rdkafka::Offset::End)?;
        let checked = (0..).map(Partition).zip(ends);
        Ok(checked
            .map(|(partition, end)| self.not_below_known(partition, end?, doubts))
            .collect())
    }

    fn not_below_known(
        &mut self,
        partition: Partition,
        end: Offset,
        doubts: &Doubts,
    ) -> Result<Offset, PortError> {
        let known = &mut self.ends[partition.index()];
        if end >= *known {
            *known = end;
            doubts.clear(|claim| claim == Claim::EndWentBack(partition));
            return Ok(end);
        }
        let reason = format!(
            "partition {partition} of topic {} ends at {end} and ended at {known} before: its brokers lost \
             records, or the topic was made anew. Restart this server: it compares the log with history",
            self.topic
        );
        Err(match doubts.note(Claim::EndWentBack(partition)) {
            true => stops(partition, reason),
            false => doubts.unconfirmed(&reason),
        })
    }

    pub fn start_offsets(&mut self) -> Result<PerPartition<Offset>, PortError> {
        Ok(self
            .of_all(rdkafka::Offset::Beginning)?
            .into_iter()
            .collect())
    }

    pub fn offsets_for_times(
        &mut self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Result<Offset, PortError>>, PortError> {
        // Before the query: a record that is written after it may be later than the time, and must not be
        // skipped.
        let ends: PerPartition<_> = self.of_all(rdkafka::Offset::End)?.into_iter().collect();
        let at = |&(partition, ms): &(Partition, u64)| {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            (partition, rdkafka::Offset::Offset(ms))
        };
        let asked: Vec<_> = times.iter().map(at).collect();
        let found = self.ask(&asked)?;
        let or_end =
            |(found, (partition, _)): (Result<Option<Offset>, _>, &(Partition, u64))| match (
                found?,
                ends.get(*partition),
            ) {
                (Some(found), _) => Ok(found),
                (None, Ok(end)) => Ok(*end),
                (None, Err(error)) => Err(unavailable(error.to_string())),
            };
        Ok(found.into_iter().zip(times).map(or_end).collect())
    }

    /// A topic's shape; `None` if it does not exist.
    pub fn shape(&self, topic: &str) -> Result<Option<TopicShape>, PortError> {
        self.explained(shape(self.consumer.client(), topic))
    }

    fn of_all(&self, place: rdkafka::Offset) -> Result<Vec<Result<Offset, PortError>>, PortError> {
        let all: Vec<_> = (0..self.settings.partitions)
            .map(|p| (Partition(p), place))
            .collect();
        let missing =
            || unavailable("Kafka gave no offset for the beginning or the end of a partition");
        let found = self.ask(&all)?.into_iter();
        Ok(found.map(|offset| offset?.ok_or_else(missing)).collect())
    }

    fn ask(
        &self,
        places: &[(Partition, rdkafka::Offset)],
    ) -> Result<Vec<Result<Option<Offset>, PortError>>, PortError> {
        let found = self.explained(ask(&self.consumer, &self.topic, places))?;
        let named = found
            .into_iter()
            .zip(places)
            .map(|(offset, (partition, _))| {
                offset.map_err(|error| call_failed_for(*partition, error, &self.events))
            });
        Ok(named.collect())
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

/// What the brokers say about places, one by one.
type Offsets = Vec<Result<Option<Offset>, KafkaError>>;

/// The offsets of places, which are [`rdkafka::Offset::Beginning`], `End`, or a time in ms as a number;
/// `None` for a time after the last record. One call for all of them, unless a broker refuses it: its
/// refusal may concern one partition.
pub(super) fn ask(
    consumer: &BaseConsumer<ClientEvents>,
    topic: &str,
    places: &[(Partition, rdkafka::Offset)],
) -> Result<Offsets, KafkaError> {
    match ask_at_once(consumer, topic, places) {
        Err(error) if places.len() > 1 && is_refusal(&error) => {
            Ok(ask_one_by_one(consumer, topic, places))
        }
        answer => answer,
    }
}

fn ask_one_by_one(
    consumer: &BaseConsumer<ClientEvents>,
    topic: &str,
    places: &[(Partition, rdkafka::Offset)],
) -> Offsets {
    let deadline = Instant::now() + DEADLINE;
    let ask = |place: &(Partition, rdkafka::Offset)| {
        if Instant::now() > deadline {
            return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut));
        }
        ask_at_once(consumer, topic, std::slice::from_ref(place))?.remove(0)
    };
    places.iter().map(ask).collect()
}

/// Whether a broker has answered with an error. librdkafka's own errors have negative codes.
fn is_refusal(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| code as i32 > 0)
}

fn ask_at_once(
    consumer: &BaseConsumer<ClientEvents>,
    topic: &str,
    places: &[(Partition, rdkafka::Offset)],
) -> Result<Offsets, KafkaError> {
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
    Ok(places.iter().map(offset).collect())
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

#[cfg(test)]
mod tests {
    use super::super::mock_log::MockLog;
    use super::*;

    const HERE: Partition = Partition(0);
    const THERE: Partition = Partition(1);

    fn asker(log: &MockLog) -> (MetadataClient, Doubts) {
        let asker = MetadataClient::new(&log.settings).unwrap();
        (asker, Doubts::new(log.settings.believe_after))
    }

    #[test]
    fn partition_without_a_leader_keeps_no_other_from_being_asked_for() {
        let log = MockLog::believing_after(Duration::from_secs(30));
        log.write(0, "a");
        log.write(1, "b");
        log.lead(None);
        let (mut asker, doubts) = asker(&log);
        let ends = asker.end_offsets(&doubts).unwrap();
        assert_eq!(ends.get(THERE).ok(), Some(&1), "{ends:?}");
        assert!(ends.get(HERE).is_err(), "{ends:?}");
        let starts = asker.start_offsets().unwrap();
        assert_eq!(starts.get(THERE).ok(), Some(&0), "{starts:?}");
        assert!(starts.get(HERE).is_err(), "{starts:?}");
        let found = asker.offsets_for_times(&[(HERE, 0), (THERE, 0)]).unwrap();
        assert!(matches!(found[..], [Err(_), Ok(_)]), "{found:?}");
    }

    #[test]
    fn end_that_went_back_stops_its_partition_once_it_is_believed() {
        let log = MockLog::believing_after(Duration::from_millis(300));
        let other = log.other();
        for (settings, partition) in [(&log.settings, 0), (&log.settings, 0), (&other, 0)] {
            log.write_to(settings, partition, "a");
        }
        log.write_to(&other, 1, "b");
        let (mut asker, doubts) = asker(&log);
        let ends = asker.end_offsets(&doubts).unwrap().all().unwrap();
        assert_eq!(ends, [2, 0]);
        // As after an election of a broker that lacks a record.
        asker.topic = other.messages_topic();
        let until = Instant::now() + Duration::from_secs(30);
        let mut refused = 0;
        loop {
            let ends = asker.end_offsets(&doubts).unwrap();
            assert_eq!(ends.get(THERE).ok(), Some(&1), "{ends:?}");
            match ends.get(HERE) {
                Err(PortError::Unavailable { .. }) => refused += 1,
                Err(PortError::Stops { partition, .. }) => {
                    assert_eq!(*partition, Some(HERE));
                    break;
                }
                end => panic!("{end:?}"),
            }
            assert!(Instant::now() < until, "never believed");
        }
        assert!(refused > 0);
    }
}
