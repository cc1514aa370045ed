//! Publishes records to the log.

#[cfg(test)]
pub(super) mod tests;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::producer::{NoCustomPartitioner, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

use super::clients;
use super::error::{KafkaFailure, unavailable};
use super::events::ClientEvents;
use super::settings::KafkaSettings;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{OutgoingRecord, PublishFailure, PublishFailureHandler};

/// How long records in flight have to be written when the broker is dropped.
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// How long a producer is kept at least. If every producer fails at once (missing rights), making one for
/// each send would only add load.
const REPLACE_AFTER: Duration = Duration::from_secs(1);

type Producer = ThreadedProducer<Deliveries>;

/// Publishes records with a producer, which it replaces after a fatal error.
pub(super) struct Publisher {
    config: ClientConfig,
    topic: String,
    on_failure: Arc<OnceLock<PublishFailureHandler>>,
    current: RwLock<Current>,
}

struct Current {
    producer: Arc<Producer>,
    since: Instant,
}

impl Publisher {
    pub fn new(settings: &KafkaSettings) -> Result<Publisher, KafkaError> {
        let config = clients::producer(settings);
        let on_failure = Arc::default();
        let first = producer(&config, &on_failure)?;
        Ok(Publisher {
            config,
            topic: settings.messages_topic(),
            on_failure,
            current: RwLock::new(Current {
                producer: Arc::new(first),
                since: Instant::now(),
            }),
        })
    }

    pub fn on_publish_failure(&self, handler: PublishFailureHandler) {
        if self.on_failure.set(handler).is_err() {
            tracing::error!("on_publish_failure was set twice; the first stays");
        }
    }

    pub fn publish(&self, record: &OutgoingRecord) -> Result<(), PortError> {
        let producer = self.current();
        let producer = if producer.context().is_fatal() {
            self.replace(&producer)?
        } else {
            producer
        };
        self.send(&producer, record).map_err(|error| {
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
                producer.context().fatal.store(true, Relaxed);
            }
            metrics::counter!("lakechat_log_refused_total").increment(1);
            unavailable(error)
        })
    }

    /// Reports a record that was not queued after all.
    pub fn report_refused(&self, ticket: u64, error: &PortError) {
        if let Some(handler) = self.on_failure.get() {
            handler(PublishFailure {
                ticket,
                refused: true,
                reason: error.to_string().into(),
            });
        }
    }

    /// Sets the gauge of records that wait, `held` of them elsewhere, or are in flight.
    pub fn record_queue_length(&self, held: usize) {
        let count = f64::from(self.current().in_flight_count()) + held as f64;
        metrics::gauge!("lakechat_log_queue_records").set(count);
    }

    /// An error means that the record was not queued: it will not be written.
    fn send(&self, producer: &Producer, record: &OutgoingRecord) -> Result<(), KafkaError> {
        let ticket = usize::try_from(record.ticket).expect("a pointer has 64 bits");
        let outgoing = BaseRecord::with_opaque_to(&self.topic, ticket)
            .partition(record.partition.0.into())
            .key(&record.key[..])
            .payload(&record.value[..]);
        producer.send(outgoing).map_err(|(error, _)| error)
    }

    fn current(&self) -> Arc<Producer> {
        // Poisoned or not: a producer is replaced by one assignment, so a panic leaves a valid one.
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner).producer)
    }

    /// After a fatal error an idempotent producer sends nothing any more, and records go to another one. But
    /// requests that are under way may still reach a broker, on a connection of their own. Until all records
    /// of the failed producer are reported nothing is published, or one of them could be appended behind a
    /// later one, and both be acked. Without answers that takes as long as a send may.
    fn replace(&self, failed: &Arc<Producer>) -> Result<Arc<Producer>, PortError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current.producer, failed) {
            if current.since.elapsed() < REPLACE_AFTER {
                return Err(unavailable("Kafka's producer had a fatal error"));
            }
            if failed.in_flight_count() > 0 {
                return Err(unavailable(
                    "Kafka's producer had a fatal error, and the outcome of its records is not known yet",
                ));
            }
            tracing::error!("Kafka's producer had a fatal error; replacing it");
            metrics::counter!("lakechat_log_producers_replaced_total").increment(1);
            let next = producer(&self.config, &self.on_failure);
            let next = next.map_err(unavailable)?;
            let old = std::mem::replace(&mut current.producer, Arc::new(next));
            current.since = Instant::now();
            retire(old);
        }
        Ok(Arc::clone(&current.producer))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Records that are not written by then are purged, and reported as failed with an unknown outcome.
        if let Err(error) = self.current().flush(LAST_FLUSH) {
            tracing::warn!(%error, "closed the log with records in flight");
        }
    }
}

/// Drops a failed producer on a thread of its own, as that waits for the producer's threads.
fn retire(old: Arc<Producer>) {
    // If no thread can be started, the closure and its producer are dropped here.
    if let Err(error) = thread::Builder::new()
        .name("kafka-producer-end".into())
        .spawn(move || drop(old))
    {
        tracing::warn!(%error, "can't start a thread to drop a failed producer; dropped it");
    }
}

fn producer(
    config: &ClientConfig,
    on_failure: &Arc<OnceLock<PublishFailureHandler>>,
) -> Result<Producer, KafkaError> {
    config.create_with_context(Deliveries {
        events: ClientEvents::of("producer"),
        on_failure: Arc::clone(on_failure),
        fatal: AtomicBool::new(false),
    })
}

/// Delivery reports and events; librdkafka calls them on the producer's own thread.
pub(super) struct Deliveries {
    events: ClientEvents,
    on_failure: Arc<OnceLock<PublishFailureHandler>>,
    fatal: AtomicBool,
}

impl Deliveries {
    fn is_fatal(&self) -> bool {
        self.fatal.load(Relaxed)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.events.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fatal.store(true, Relaxed);
        }
        self.events.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    /// The ticket.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let Err((error, _)) = result else {
            self.events.clear_error();
            return;
        };
        let Some(handler) = self.on_failure.get() else {
            return;
        };
        handler(PublishFailure {
            ticket: ticket as u64,
            refused: is_refused(error),
            reason: KafkaFailure::new(error.clone(), &self.events)
                .to_string()
                .into(),
        });
    }
}

/// Whether a broker rejected the record itself. After any other error an earlier attempt may have been
/// written.
fn is_refused(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidRecord)
    )
}
