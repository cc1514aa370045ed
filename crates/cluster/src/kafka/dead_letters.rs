//! Records that none could read, copied to a topic of their own: key and value as they were, and in
//! headers where they stood and why.

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::clients;
use super::error::{away, broken, unavailable};
use super::events::Heard;
use super::settings::Settings;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::DeadLetter;

pub(super) struct DeadLetters {
    config: ClientConfig,
    topic: String,
}

impl DeadLetters {
    pub fn new(settings: &Settings) -> DeadLetters {
        DeadLetters {
            config: clients::dead_letter_producer(settings),
            topic: settings.dead_letters_topic(),
        }
    }

    /// Returns when all letters are written. They are rare: each call has a producer of its own.
    pub async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        let heard = Heard::by("dead-letters");
        let producer: FutureProducer<Heard> = self
            .config
            .create_with_context(heard.clone())
            .map_err(|error| unavailable(error.to_string()))?;
        let written = self.write(&producer, &heard, letters).await;
        // Waits for its thread.
        tokio::task::spawn_blocking(move || drop(producer));
        written
    }

    async fn write(
        &self,
        producer: &FutureProducer<Heard>,
        heard: &Heard,
        letters: &[DeadLetter],
    ) -> Result<(), PortError> {
        let mut under_way = Vec::with_capacity(letters.len());
        for letter in letters {
            let record = FutureRecord::to(&self.topic)
                .key(&letter.record.key[..])
                .payload(&letter.record.value[..])
                .headers(headers(letter));
            let sent = producer.send_result(record);
            under_way.push(sent.map_err(|(error, _)| failed(&error, heard))?);
        }
        for written in under_way {
            let closed = |_| unavailable("the producer was closed");
            let written = written.await.map_err(closed)?;
            written.map_err(|(error, _)| failed(&error, heard))?;
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

fn failed(error: &KafkaError, heard: &Heard) -> PortError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            broken("a dead letter is larger than max.message.bytes of its topic: raise that")
        }
        _ => away(error, heard),
    }
}
