//! Questions about the log: where it begins and ends, where a time is, how many partitions it has.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaRespErr;

use super::clients;
use super::error::{away, unavailable};
use super::events::Heard;
use super::settings::Settings;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::Offset;

/// How long an answer may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// How long librdkafka may take to say the next thing.
const LISTEN: Duration = Duration::from_millis(10);

/// A topic as its brokers describe it.
pub(super) struct Shape {
    pub partitions: usize,
    /// Of the partition that has the fewest.
    pub replicas: usize,
}

/// A client that only asks. Its calls wait: it lives on a thread of its own.
pub(super) struct Asker {
    consumer: BaseConsumer<Heard>,
    heard: Heard,
    settings: Arc<Settings>,
    topic: String,
    /// The ends that were answered last. A log's end never goes back.
    ends: Vec<Offset>,
}

impl Asker {
    pub fn new(settings: &Arc<Settings>) -> Result<Asker, KafkaError> {
        let heard = Heard::by("questions");
        let consumer = clients::asker(settings).create_with_context(heard.clone())?;
        Ok(Asker {
            consumer,
            heard,
            topic: settings.messages_topic(),
            ends: vec![0; usize::from(settings.partitions)],
            settings: Arc::clone(settings),
        })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes in what librdkafka has to say. It keeps that until somebody does.
    pub fn listen(&self) {
        // Errors are heard by the context; records there are none.
        while self.consumer.poll(LISTEN).is_some() {}
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
        // Asked for first: what is written from here on may be later than the time asked for.
        let ends = self.of_all(rdkafka::Offset::End)?;
        let at = |&(partition, ms): &(Partition, u64)| {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            (partition, rdkafka::Offset::Offset(ms))
        };
        let asked: Vec<_> = times.iter().map(at).collect();
        let found = self.ask(&asked)?;
        let none_is_later = |(found, (partition, _)): (Option<Offset>, &(Partition, u64))| {
            found.unwrap_or_else(|| ends[partition.index()])
        };
        Ok(found.into_iter().zip(times).map(none_is_later).collect())
    }

    /// How a topic looks; None if there is none of that name.
    pub fn shape(&self, topic: &str) -> Result<Option<Shape>, PortError> {
        let answer = self.consumer.fetch_metadata(Some(topic), DEADLINE);
        let metadata = self.explained(answer)?;
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        match found.map(|t| (t, t.error())) {
            Some((found, None)) => Ok(Some(shape(found))),
            None | Some((_, Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART))) => {
                Ok(None)
            }
            Some((_, Some(error))) => {
                let code = RDKafkaErrorCode::from(error);
                Err(unavailable(format!("topic {topic}: {code}")))
            }
        }
    }

    fn of_all(&self, place: rdkafka::Offset) -> Result<Vec<Offset>, PortError> {
        let all: Vec<_> = (0..self.settings.partitions)
            .map(|p| (Partition(p), place))
            .collect();
        let found = self.ask(&all)?;
        let missing = || unavailable("a partition has neither a beginning nor an end");
        let found = found.into_iter().map(|offset| offset.ok_or_else(missing));
        found.collect()
    }

    fn ask(
        &self,
        places: &[(Partition, rdkafka::Offset)],
    ) -> Result<Vec<Option<Offset>>, PortError> {
        self.explained(ask(&self.consumer, &self.topic, places))
    }

    /// An answer; or why there is none, as far as librdkafka knows.
    fn explained<T>(&self, answer: Result<T, KafkaError>) -> Result<T, PortError> {
        match answer {
            Ok(answer) => {
                self.heard.all_is_well();
                Ok(answer)
            }
            Err(error) => {
                self.listen();
                Err(away(&error, &self.heard))
            }
        }
    }
}

/// The offsets of places, which are [`rdkafka::Offset::Beginning`], `End`, or a time in ms as a number:
/// none where all records are earlier. One call for all of them.
pub(super) fn ask(
    consumer: &BaseConsumer<Heard>,
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

fn shape(topic: &MetadataTopic) -> Shape {
    let replicas = topic.partitions().iter().map(|p| p.replicas().len());
    Shape {
        partitions: topic.partitions().len(),
        replicas: replicas.min().unwrap_or(0),
    }
}
