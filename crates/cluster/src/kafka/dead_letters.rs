//! Records that cannot be decoded, copied to a topic of their own: with their key and value, and with
//! headers for their partition, offset, append time and the reason.

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::clients;
use super::error::{broken, call_failed, unavailable};
use super::events::ClientEvents;
use super::settings::KafkaSettings;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::DeadLetter;

pub(super) struct DeadLetters {
    config: ClientConfig,
    topic: String,
}

impl DeadLetters {
    pub fn new(settings: &KafkaSettings) -> DeadLetters {
        DeadLetters {
            config: clients::dead_letter_producer(settings),
            topic: settings.dead_letters_topic(),
        }
    }

    /// Returns when all letters are written. They are rare, so each call makes a producer of its own.
    pub async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        let events = ClientEvents::of("dead-letters");
        let producer: FutureProducer<ClientEvents> = self
            .config
            .create_with_context(events.clone())
            .map_err(unavailable)?;
        let written = self.write(&producer, &events, letters).await;
        // The drop joins the producer's thread.
        tokio::task::spawn_blocking(move || drop(producer));
        written
    }

    async fn write(
        &self,
        producer: &FutureProducer<ClientEvents>,
        events: &ClientEvents,
        letters: &[DeadLetter],
    ) -> Result<(), PortError> {
        let mut in_flight = Vec::with_capacity(letters.len());
        for letter in letters {
            let record = FutureRecord::to(&self.topic)
                .key(&letter.record.key[..])
                .payload(&letter.record.value[..])
                .headers(headers(letter));
            let sent = producer.send_result(record);
            in_flight.push(sent.map_err(|(error, _)| failed(error, events))?);
        }
        for report in in_flight {
            let closed = |_| unavailable("the producer was closed");
            let written = report.await.map_err(closed)?;
            written.map_err(|(error, _)| failed(error, events))?;
        }
        Ok(())
    }
}

fn headers(letter: &DeadLetter) -> OwnedHeaders {
    let record = &letter.record;
    let numbers = [
        ("partition", u64::from(record.partition.0)),
        ("offset", record.offset),
        ("append_ms", record.append_ms),
    ];
    let reason = Header {
        key: "reason",
        value: Some(&*letter.reason),
    };
    let headers = OwnedHeaders::new_with_capacity(4).insert(reason);
    numbers.into_iter().fold(headers, |headers, (key, number)| {
        let value = Some(&number.to_string());
        headers.insert(Header { key, value })
    })
}

fn failed(error: KafkaError, events: &ClientEvents) -> PortError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            broken("a dead letter is larger than max.message.bytes of its topic: raise that")
        }
        _ => call_failed(error, events),
    }
}
