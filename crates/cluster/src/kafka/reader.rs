//! Reads partitions from given offsets on: without a group or commits, and never past missing records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Timestamp, TopicPartitionList};
use tracing::{Span, debug_span};

use super::clients;
use super::error::{broken, call_failed, stops, unavailable};
use super::events::ClientEvents;
use super::metadata;
use super::settings::KafkaSettings;
use super::topics;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{LogReader, LogRecord, Offset};

/// Limits of a poll: records, and their bytes (which the last record may exceed).
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;

pub(super) struct KafkaReader {
    consumer: BaseConsumer<ClientEvents>,
    events: ClientEvents,
    settings: Arc<KafkaSettings>,
    topic: String,
    positions: Positions,
    /// Fetching begins with the first poll: an unused reader takes no memory.
    has_begun: bool,
    span: Span,
}

impl KafkaReader {
    pub fn open(
        settings: &Arc<KafkaSettings>,
        from: &[(Partition, Offset)],
    ) -> Result<KafkaReader, PortError> {
        let events = ClientEvents::of("reader");
        let consumer = clients::reader(settings).create_with_context(events.clone());
        let reader = KafkaReader {
            consumer: consumer.map_err(|error| unavailable(error.to_string()))?,
            events,
            topic: settings.messages_topic(),
            settings: Arc::clone(settings),
            positions: Positions::new(from, settings.partitions),
            has_begun: false,
            span: debug_span!("kafka_reader", topic = settings.messages_topic()),
        };
        match reader.missing_records()? {
            Some(missing) => Err(missing),
            None => Ok(reader),
        }
    }

    fn begin(&mut self) -> Result<(), PortError> {
        let mut list = TopicPartitionList::with_capacity(self.positions.next.len());
        for (partition, offset) in &self.positions.next {
            let offset = rdkafka::Offset::Offset(raw(*offset));
            list.add_partition_offset(&self.topic, partition.0.into(), offset)
                .map_err(|error| self.call_failed(&error))?;
        }
        let assigned = self.consumer.assign(&list);
        assigned.map_err(|error| self.call_failed(&error))?;
        self.has_begun = true;
        Ok(())
    }

    /// `Ok` for an error that librdkafka recovers from by itself.
    fn check_error(&self, error: &KafkaError) -> Result<(), PortError> {
        let Some(code) = error.rdkafka_error_code() else {
            return Err(self.call_failed(error));
        };
        match code {
            // Reported only because auto.offset.reset is "error": no record is skipped silently.
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation => {
                Err(self.missing_records()?.unwrap_or_else(|| {
                    let topic = &self.topic;
                    broken(format!(
                        "an offset of topic {topic} is gone ({code}): {ADVICE}"
                    ))
                }))
            }
            RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage => {
                let events = self.events.last_error().unwrap_or_default();
                let topic = &self.topic;
                Err(broken(format!(
                    "a record of topic {topic} is damaged ({events}): look at the disks of its brokers"
                )))
            }
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopicId
            | RDKafkaErrorCode::UnknownPartition => Err(self.topic_error()?),
            RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::Fatal => Err(self.call_failed(error)),
            // Trouble with one of several brokers, or with the group that no reader joins.
            _ => {
                tracing::debug!(%error, "the reader recovers by itself");
                Ok(())
            }
        }
    }

    /// The cause of an unknown topic or partition: it was deleted, or was only missing for a moment.
    fn topic_error(&self) -> Result<PortError, PortError> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.topic), metadata::DEADLINE)
            .map_err(|error| self.call_failed(&error))?;
        let topic = &self.topic;
        let mut topics = metadata.topics().iter();
        let found = topics.find(|t| t.name() == topic && t.error().is_none());
        let count = found.map(|t| t.partitions().len());
        if let Some(changed) = topics::changed_to(count, &self.settings) {
            return Ok(broken(changed));
        }
        Ok(match self.missing_records()? {
            Some(missing) => missing,
            None => unavailable(format!("topic {topic} was not there for a moment")),
        })
    }

    /// An error for the first position that is no longer within the log.
    fn missing_records(&self) -> Result<Option<PortError>, PortError> {
        let at = |place| {
            let asked: Vec<_> = self
                .positions
                .next
                .iter()
                .map(|(p, _)| (*p, place))
                .collect();
            let found = metadata::ask(&self.consumer, &self.topic, &asked);
            found.map_err(|error| self.call_failed(&error))
        };
        let starts = at(rdkafka::Offset::Beginning)?;
        let ends = at(rdkafka::Offset::End)?;
        let edges = starts.iter().zip(&ends).zip(&self.positions.next);
        Ok(edges
            .filter_map(|((start, end), at)| Some((((*start)?), (*end)?, at)))
            .find(|(start, end, (_, offset))| offset < start || offset > end)
            .map(|(start, end, (partition, offset))| {
                let topic = &self.topic;
                let reason = format!(
                    "partition {partition} of topic {topic} keeps offsets {start} to {end}, and \
                     {offset} was to be read: {ADVICE}"
                );
                stops(*partition, reason)
            }))
    }

    fn call_failed(&self, error: &KafkaError) -> PortError {
        call_failed(error.clone(), &self.events)
    }
}

const ADVICE: &str = "retention or somebody deleted records that were not read, or the topic was made \
                    anew. If they are lost for good, `lakechat log adopt` goes on with what is there";

impl LogReader for KafkaReader {
    fn poll(&mut self, timeout: Duration, into: &mut Vec<LogRecord>) -> Result<(), PortError> {
        let _entered = self.span.clone().entered();
        if !self.has_begun {
            self.begin()?;
        }
        let deadline = Instant::now() + timeout;
        let full = into.len() + BATCH_RECORDS;
        let (mut bytes, mut wait) = (0, timeout);
        while into.len() < full && bytes < BATCH_BYTES {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let record = self.positions.advance(&message, &self.settings)?;
                    bytes += record.key.len() + record.value.len();
                    into.push(record);
                    wait = Duration::ZERO;
                }
                Some(Err(error)) => {
                    self.check_error(&error)?;
                    wait = wait.min(deadline.saturating_duration_since(Instant::now()));
                }
            }
        }
        self.events.clear_error();
        Ok(())
    }

    fn position(&self, partition: Partition) -> Offset {
        let place = self.positions.place(partition);
        place.map_or(0, |place| self.positions.next[place].1)
    }
}

/// The next offset of each partition that is read.
struct Positions {
    next: Vec<(Partition, Offset)>,
    /// By partition, where it is in `next`.
    places: Vec<Option<usize>>,
}

impl Positions {
    fn new(from: &[(Partition, Offset)], partitions: u16) -> Positions {
        let mut places = vec![None; usize::from(partitions)];
        for (place, (partition, _)) in from.iter().enumerate() {
            places[partition.index()] = Some(place);
        }
        Positions {
            next: from.to_vec(),
            places,
        }
    }

    fn place(&self, partition: Partition) -> Option<usize> {
        *self.places.get(partition.index())?
    }

    /// Takes a record and moves past it. Offsets may have gaps: it need not be the next one.
    fn advance(
        &mut self,
        message: &BorrowedMessage<'_>,
        settings: &KafkaSettings,
    ) -> Result<LogRecord, PortError> {
        let partition = u16::try_from(message.partition()).ok().map(Partition);
        let place = partition.and_then(|p| Some((p, self.place(p)?)));
        let (Some((partition, place)), Ok(offset)) = (place, Offset::try_from(message.offset()))
        else {
            return Err(broken(
                "librdkafka returned a record of a partition that was not assigned",
            ));
        };
        let Timestamp::LogAppendTime(append_ms) = message.timestamp() else {
            let reason = topics::not_stamped_by_log(settings, partition, offset);
            return Err(stops(partition, reason));
        };
        self.next[place].1 = offset + 1;
        let (key, value) = key_and_value(message);
        Ok(LogRecord {
            partition,
            offset,
            append_ms: u64::try_from(append_ms).unwrap_or(0),
            key,
            value,
        })
    }
}

/// Copies both into one allocation, so that librdkafka gets its own buffer back.
fn key_and_value(message: &BorrowedMessage<'_>) -> (Bytes, Bytes) {
    let key = message.key().unwrap_or_default();
    let value = message.payload().unwrap_or_default();
    let mut both = BytesMut::with_capacity(key.len() + value.len());
    both.extend_from_slice(key);
    both.extend_from_slice(value);
    let mut both = both.freeze();
    (both.split_to(key.len()), both)
}

fn raw(offset: Offset) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
