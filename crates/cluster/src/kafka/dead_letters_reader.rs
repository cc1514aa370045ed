//! Reads the topic of dead letters from its beginning to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use tokio::sync::mpsc;

use super::clients;
use super::error::{broken, call_failed, unavailable};
use super::events::ClientEvents;
use super::metadata::{self, DEADLINE};
use super::settings::KafkaSettings;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{DeadLetter, DeadLetterListing, LogRecord};
use lakechat_core::threads::stream_from_thread;

/// Letters that were read ahead. When the queue is full the thread waits.
const READ_AHEAD: usize = 64;

const POLL: Duration = Duration::from_millis(100);

/// Starts the thread that reads. It ends with the topic, or soon after the listing is dropped.
pub(super) fn list(settings: &Arc<KafkaSettings>) -> Result<DeadLetterListing, PortError> {
    let settings = Arc::clone(settings);
    let letters = stream_from_thread("kafka-letters", READ_AHEAD, move |sender| {
        read(&settings, sender)
    });
    Ok(Box::pin(letters.map_err(broken)?))
}

fn read(
    settings: &KafkaSettings,
    sender: &mpsc::Sender<Result<DeadLetter, PortError>>,
) -> Result<(), PortError> {
    let events = ClientEvents::of("dead-letters");
    let failed = |error: KafkaError| call_failed(error, &events);
    let consumer: BaseConsumer<ClientEvents> = clients::reader_to_end(settings, "dead-letters")
        .create_with_context(events.clone())
        .map_err(failed)?;
    let topic = settings.dead_letters_topic();
    let shape = metadata::shape(consumer.client(), &topic).map_err(failed)?;
    let mut partitions_left = shape.map_or(0, |shape| shape.partitions);
    let mut list = TopicPartitionList::with_capacity(partitions_left);
    for partition in (0..).take(partitions_left) {
        list.add_partition_offset(&topic, partition, rdkafka::Offset::Beginning)
            .map_err(failed)?;
    }
    consumer.assign(&list).map_err(failed)?;
    let mut deadline = Instant::now() + DEADLINE;
    while partitions_left > 0 {
        match consumer.poll(POLL) {
            None if Instant::now() < deadline => continue,
            None => {
                return Err(unavailable(format!(
                    "topic {topic} could not be read to its end in time"
                )));
            }
            Some(Ok(message)) => {
                if sender.blocking_send(Ok(letter(&topic, &message))).is_err() {
                    return Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => partitions_left -= 1,
            Some(Err(error)) => return Err(failed(error)),
        }
        deadline = Instant::now() + DEADLINE;
    }
    Ok(())
}

/// A record that another program wrote is listed, too.
fn letter(topic: &str, message: &BorrowedMessage<'_>) -> DeadLetter {
    let header = |name: &str| {
        let mut headers = message.headers()?.iter();
        let value = headers.find(|header| header.key == name)?.value?;
        std::str::from_utf8(value).ok()
    };
    let number = |name| header(name).and_then(|text| text.parse::<u64>().ok());
    let partition = number("partition").and_then(|n| u16::try_from(n).ok());
    let reason = header("reason").map_or_else(
        || {
            let offset = message.offset();
            format!("offset {offset} of topic {topic} has no reason: lakechat didn't write it")
        },
        str::to_owned,
    );
    DeadLetter {
        record: LogRecord {
            partition: Partition(partition.unwrap_or(0)),
            offset: number("offset").unwrap_or(0),
            append_ms: number("append_ms").unwrap_or(0),
            key: message.key().unwrap_or_default().to_vec().into(),
            value: message.payload().unwrap_or_default().to_vec().into(),
        },
        reason: reason.into(),
    }
}
