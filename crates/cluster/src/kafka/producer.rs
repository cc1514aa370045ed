//! Records on their way into the log.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::producer::{NoCustomPartitioner, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

use super::clients::{self, SEND_TIMEOUT};
use super::error::unavailable;
use super::events::Heard;
use super::settings::Settings;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{OutgoingRecord, PublishFailure, PublishFailureHandler};

/// How long what is on its way has when the server ends.
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// How long a producer is kept at least: where each fails at once (rights that are missing), another one
/// for every send would only cost.
const REPLACE_AFTER: Duration = Duration::from_secs(1);

type Producer = ThreadedProducer<Deliveries>;

/// Publishes, by a producer that is replaced when it can't go on.
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
    pub fn new(settings: &Settings) -> Result<Publisher, KafkaError> {
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
            unavailable(error.to_string())
        })
    }

    /// Tells how many records are on their way.
    pub fn gauge(&self) {
        let count = self.current().in_flight_count();
        metrics::gauge!("lakechat_log_queue_records").set(f64::from(count));
    }

    /// An error here says that the record was not taken at all.
    fn send(&self, producer: &Producer, record: &OutgoingRecord) -> Result<(), KafkaError> {
        let ticket = usize::try_from(record.ticket).expect("a pointer has 64 bits");
        let outgoing = BaseRecord::with_opaque_to(&self.topic, ticket)
            .partition(record.partition.0.into())
            .key(&record.key[..])
            .payload(&record.value[..]);
        producer.send(outgoing).map_err(|(error, _)| error)
    }

    fn current(&self) -> Arc<Producer> {
        // A producer is replaced in one step: a panic leaves nothing half done.
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner).producer)
    }

    /// After a fatal error nothing is sent any more: what is published from here on goes to another
    /// producer, and what the old one had on its way is told as unknown when it knows no more.
    fn replace(&self, failed: &Arc<Producer>) -> Result<Arc<Producer>, PortError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current.producer, failed) {
            if current.since.elapsed() < REPLACE_AFTER {
                return Err(unavailable("the producer failed for good"));
            }
            tracing::error!("the producer failed for good; another one takes over");
            metrics::counter!("lakechat_log_producers_replaced_total").increment(1);
            let next = producer(&self.config, &self.on_failure);
            let next = next.map_err(|error| unavailable(error.to_string()))?;
            let old = std::mem::replace(&mut current.producer, Arc::new(next));
            current.since = Instant::now();
            retire(old);
        }
        Ok(Arc::clone(&current.producer))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // What is not written by then is purged, and told as unknown.
        if let Err(error) = self.current().flush(LAST_FLUSH) {
            tracing::warn!(%error, "records were on their way when the log was closed");
        }
    }
}

/// Lets a failed producer hear what became of its requests under way, and then drops it.
fn retire(old: Arc<Producer>) {
    let retiring = move || {
        // In vain: the rest is told as unknown by the drop.
        let _ = old.flush(SEND_TIMEOUT);
        drop(old);
    };
    // Without a thread the closure is dropped here, and the producer with it.
    if let Err(error) = thread::Builder::new()
        .name("kafka-producer-end".into())
        .spawn(retiring)
    {
        tracing::warn!(%error, "a failed producer was dropped at once");
    }
}

fn producer(
    config: &ClientConfig,
    on_failure: &Arc<OnceLock<PublishFailureHandler>>,
) -> Result<Producer, KafkaError> {
    config.create_with_context(Deliveries {
        heard: Heard::by("producer"),
        on_failure: Arc::clone(on_failure),
        fatal: AtomicBool::new(false),
    })
}

/// What becomes of records; called on the producer's own thread.
pub(super) struct Deliveries {
    heard: Heard,
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
        self.heard.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fatal.store(true, Relaxed);
        }
        self.heard.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    /// The ticket.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let Err((error, _)) = result else {
            self.heard.all_is_well();
            return;
        };
        let Some(handler) = self.on_failure.get() else {
            return;
        };
        handler(PublishFailure {
            ticket: ticket as u64,
            refused: is_refused(error),
            reason: super::error::told(error, &self.heard).into(),
        });
    }
}

/// Whether a broker looked at the record and does not take it. Whatever else went wrong, an earlier
/// try may have been written.
fn is_refused(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidRecord)
    )
}
