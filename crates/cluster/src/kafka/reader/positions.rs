//! How far each partition was read, and whether the log is still the one that was read.

use bytes::{Bytes, BytesMut};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Timestamp, TopicPartitionList};

use super::super::error::{broken, stops};
use super::super::settings::KafkaSettings;
use super::super::topics;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{LogRecord, Offset};

/// The positions of the partitions that are read.
pub(super) struct Positions {
    read: Vec<Position>,
    /// By partition, where it is in `read`.
    places: Vec<Option<usize>>,
}

pub(super) struct Position {
    pub partition: Partition,
    /// The next offset to be read.
    pub next: Offset,
    /// Offset and append time of the latest record that was returned.
    last: Option<(Offset, i64)>,
}

impl Position {
    /// Where fetching begins. The latest record is fetched again: if another one has its offset, the brokers
    /// lost records that were read, and what follows is not the log that this reader has seen.
    pub fn fetch_from(&self, log_start: Offset) -> Offset {
        let last = self.last.map(|(offset, _)| offset);
        last.filter(|offset| *offset >= log_start)
            .unwrap_or(self.next)
    }
}

impl Positions {
    pub fn new(from: &[(Partition, Offset)], partitions: u16) -> Positions {
        let mut places = vec![None; usize::from(partitions)];
        for (place, (partition, _)) in from.iter().enumerate() {
            places[partition.index()] = Some(place);
        }
        let position = |&(partition, next)| Position {
            partition,
            next,
            last: None,
        };
        Positions {
            read: from.iter().map(position).collect(),
            places,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Position> {
        self.read.iter()
    }

    pub fn next(&self, partition: Partition) -> Option<Offset> {
        let place = self.place(partition)?;
        Some(self.read[place].next)
    }

    fn place(&self, partition: Partition) -> Option<usize> {
        *self.places.get(partition.index())?
    }

    fn place_of_number(&self, partition: i32) -> Option<usize> {
        self.place(Partition(u16::try_from(partition).ok()?))
    }

    /// Moves past the offsets that librdkafka has consumed without returning a record, such as the markers
    /// at the end of a transaction.
    pub fn pass(&mut self, consumed: &TopicPartitionList) {
        for element in consumed.elements() {
            let place = self.place_of_number(element.partition());
            // Not a number: nothing was consumed yet.
            let rdkafka::Offset::Offset(offset) = element.offset() else {
                continue;
            };
            if let (Some(place), Ok(offset)) = (place, Offset::try_from(offset)) {
                let next = &mut self.read[place].next;
                *next = offset.max(*next);
            }
        }
    }

    /// Takes a record and moves past it. If offsets may have gaps, it need not be the next one. `None` for the
    /// latest record, fetched again, and for a record behind a gap that may not be.
    pub fn advance(
        &mut self,
        message: &BorrowedMessage<'_>,
        settings: &KafkaSettings,
        gaps: bool,
    ) -> Result<Option<LogRecord>, PortError> {
        let place = self.place_of_number(message.partition());
        let (Some(place), Ok(offset)) = (place, Offset::try_from(message.offset())) else {
            return Err(broken(
                "librdkafka returned a record of a partition that was not assigned",
            ));
        };
        let position = &mut self.read[place];
        let partition = position.partition;
        let Some(append_ms) = append_ms(message.timestamp()) else {
            let reason = topics::not_stamped_by_log(settings, partition, offset);
            return Err(stops(partition, reason));
        };
        if offset < position.next {
            return match position.last == Some((offset, append_ms)) {
                true => Ok(None),
                false => Err(stops(partition, replaced(settings, partition, offset))),
            };
        }
        if offset > position.next && !gaps {
            return Ok(None);
        }
        position.next = offset + 1;
        position.last = Some((offset, append_ms));
        let (key, value) = key_and_value(message);
        Ok(Some(LogRecord {
            partition,
            offset,
            append_ms: u64::try_from(append_ms).unwrap_or(0),
            key,
            value,
        }))
    }
}

fn append_ms(timestamp: Timestamp) -> Option<i64> {
    match timestamp {
        Timestamp::LogAppendTime(ms) => Some(ms),
        // librdkafka's mock cluster does not stamp records.
        #[cfg(test)]
        Timestamp::CreateTime(ms) => Some(ms),
        _ => None,
    }
}

fn replaced(settings: &KafkaSettings, partition: Partition, offset: Offset) -> String {
    let topic = settings.messages_topic();
    format!(
        "offset {offset} in partition {partition} of topic {topic} holds another record than it did when it \
         was read: its brokers lost records, or the topic was made anew. Restart this server: it compares the \
         log with history"
    )
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
