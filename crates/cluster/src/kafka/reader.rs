//! Reads partitions from explicit offsets on: no group, no commit, and no jump over what is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Timestamp, TopicPartitionList};

use super::clients;
use super::error::{away, broken, stops, unavailable};
use super::events::Heard;
use super::metadata;
use super::settings::Settings;
use super::topics;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{LogReader, LogRecord, Offset};

/// What a poll returns at most: records, and their bytes (one record more, whatever its size).
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;

pub(super) struct KafkaReader {
    consumer: BaseConsumer<Heard>,
    heard: Heard,
    settings: Arc<Settings>,
    topic: String,
    positions: Positions,
    /// Fetching begins with the first poll: what nobody asks for takes no memory.
    begun: bool,
}

impl KafkaReader {
    pub fn open(
        settings: &Arc<Settings>,
        from: &[(Partition, Offset)],
    ) -> Result<KafkaReader, PortError> {
        let heard = Heard::by("reader");
        let consumer = clients::reader(settings).create_with_context(heard.clone());
        let reader = KafkaReader {
            consumer: consumer.map_err(|error| unavailable(error.to_string()))?,
            heard,
            topic: settings.messages_topic(),
            settings: Arc::clone(settings),
            positions: Positions::new(from, settings.partitions),
            begun: false,
        };
        match reader.gone()? {
            Some(gone) => Err(gone),
            None => Ok(reader),
        }
    }

    fn begin(&mut self) -> Result<(), PortError> {
        let mut list = TopicPartitionList::with_capacity(self.positions.next.len());
        for (partition, offset) in &self.positions.next {
            let offset = rdkafka::Offset::Offset(raw(*offset));
            list.add_partition_offset(&self.topic, partition.0.into(), offset)
                .map_err(|error| self.away(&error))?;
        }
        let assigned = self.consumer.assign(&list);
        assigned.map_err(|error| self.away(&error))?;
        self.begun = true;
        Ok(())
    }

    /// What an error says about the records: nothing, if librdkafka mends it by itself.
    fn judge(&self, error: &KafkaError) -> Result<(), PortError> {
        let Some(code) = error.rdkafka_error_code() else {
            return Err(self.away(error));
        };
        match code {
            // Nothing is skipped in silence, neither by brokers nor by librdkafka.
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation => Err(self.gone()?.unwrap_or_else(|| {
                let topic = &self.topic;
                broken(format!(
                    "an offset of topic {topic} is gone ({code}): {LOOK}"
                ))
            })),
            RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage => {
                let heard = self.heard.last().unwrap_or_default();
                let topic = &self.topic;
                Err(broken(format!(
                    "a record of topic {topic} is damaged ({heard}): look at the disks of its brokers"
                )))
            }
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopicId
            | RDKafkaErrorCode::UnknownPartition => Err(self.missing()?),
            RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::Fatal => Err(self.away(error)),
            // One broker of several, or the group that nobody joins.
            _ => {
                tracing::debug!(%error, "the reader goes on by itself");
                Ok(())
            }
        }
    }

    /// The topic is not there for the reader, or was not for a moment.
    fn missing(&self) -> Result<PortError, PortError> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.topic), metadata::DEADLINE)
            .map_err(|error| self.away(&error))?;
        let topic = &self.topic;
        let mut there = metadata.topics().iter();
        let there = there.find(|t| t.name() == topic && t.error().is_none());
        let count = there.map(|t| t.partitions().len());
        if let Some(changed) = topics::changed_to(count, &self.settings) {
            return Ok(broken(changed));
        }
        Ok(match self.gone()? {
            Some(gone) => gone,
            None => unavailable(format!("topic {topic} was not there for a moment")),
        })
    }

    /// The first position that is not within the log any more.
    fn gone(&self) -> Result<Option<PortError>, PortError> {
        let at = |place| {
            let asked: Vec<_> = self
                .positions
                .next
                .iter()
                .map(|(p, _)| (*p, place))
                .collect();
            let found = metadata::ask(&self.consumer, &self.topic, &asked);
            found.map_err(|error| self.away(&error))
        };
        let starts = at(rdkafka::Offset::Beginning)?;
        let ends = at(rdkafka::Offset::End)?;
        let edges = starts.iter().zip(&ends).zip(&self.positions.next);
        Ok(edges
            .filter_map(|((start, end), at)| Some((((*start)?), (*end)?, at)))
            .find(|(start, end, (_, offset))| offset < start || offset > end)
            .map(|(start, end, (partition, offset))| {
                let topic = &self.topic;
                let told = format!(
                    "partition {partition} of topic {topic} keeps offsets {start} to {end}, and \
                     {offset} was to be read: {LOOK}"
                );
                stops(*partition, told)
            }))
    }

    fn away(&self, error: &KafkaError) -> PortError {
        away(error, &self.heard)
    }
}

const LOOK: &str = "retention or somebody deleted records that were not read, or the topic was made \
                    anew. If they are lost for good, `lakechat log adopt` goes on with what is there";

impl LogReader for KafkaReader {
    fn poll(&mut self, timeout: Duration, into: &mut Vec<LogRecord>) -> Result<(), PortError> {
        if !self.begun {
            self.begin()?;
        }
        let deadline = Instant::now() + timeout;
        let full = into.len() + BATCH_RECORDS;
        let (mut bytes, mut wait) = (0, timeout);
        while into.len() < full && bytes < BATCH_BYTES {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let record = self.positions.pass(&message, &self.settings)?;
                    bytes += record.key.len() + record.value.len();
                    into.push(record);
                    wait = Duration::ZERO;
                }
                Some(Err(error)) => {
                    self.judge(&error)?;
                    wait = wait.min(deadline.saturating_duration_since(Instant::now()));
                }
            }
        }
        self.heard.all_is_well();
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

    /// Moves past a record, which is the one that was next or one behind it.
    fn pass(
        &mut self,
        message: &BorrowedMessage<'_>,
        settings: &Settings,
    ) -> Result<LogRecord, PortError> {
        let partition = u16::try_from(message.partition()).ok().map(Partition);
        let place = partition.and_then(|p| Some((p, self.place(p)?)));
        let (Some((partition, place)), Ok(offset)) = (place, Offset::try_from(message.offset()))
        else {
            return Err(broken("librdkafka gave a record that was not asked for"));
        };
        let Timestamp::LogAppendTime(append_ms) = message.timestamp() else {
            let told = topics::not_append_time(settings, partition, offset);
            return Err(stops(partition, told));
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

/// One allocation for both; the copy lets librdkafka have its own back.
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
