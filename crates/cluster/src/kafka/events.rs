//! What librdkafka says by itself: its log, and errors that no call returns.

use std::sync::{Arc, Mutex, MutexGuard};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A client's ear. What it heard last explains why a call got no answer.
#[derive(Clone)]
pub(super) struct Heard {
    client: &'static str,
    last: Arc<Mutex<Option<String>>>,
}

impl Heard {
    pub fn by(client: &'static str) -> Heard {
        Heard {
            client,
            last: Arc::default(),
        }
    }

    /// The last error since the last call that went well.
    pub fn last(&self) -> Option<String> {
        self.state().clone()
    }

    pub fn all_is_well(&self) {
        *self.state() = None;
    }

    fn state(&self) -> MutexGuard<'_, Option<String>> {
        self.last.lock().expect("nothing panics under it")
    }
}

impl ClientContext for Heard {
    /// Errors of a connection are librdkafka's to mend: they are warnings here.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        let client = self.client;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", client, facility, "{text}");
            }
            // Options go to all clients, and each says which are none of its kind.
            RDKafkaLogLevel::Warning if facility == "CONFWARN" => {
                tracing::debug!(target: "librdkafka", client, facility, "{text}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", client, facility, "{text}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", client, facility, "{text}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        metrics::counter!("lakechat_kafka_errors_total", "client" => self.client).increment(1);
        tracing::debug!(target: "librdkafka", client = self.client, %error, "{reason}");
        let mut last = self.state();
        // That all brokers are down follows from what was heard of each, and says less.
        if last.is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Heard {}
