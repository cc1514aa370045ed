//! librdkafka's own log lines, and its errors that no call returns.

use std::sync::{Arc, Mutex, MutexGuard};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The events of one client. The latest error explains why a call got no answer.
#[derive(Clone)]
pub(super) struct ClientEvents {
    client: &'static str,
    last: Arc<Mutex<Option<String>>>,
}

impl ClientEvents {
    pub fn of(client: &'static str) -> ClientEvents {
        ClientEvents {
            client,
            last: Arc::default(),
        }
    }

    /// The latest error since the latest call that succeeded.
    pub fn last_error(&self) -> Option<String> {
        self.state().clone()
    }

    pub fn clear_error(&self) {
        *self.state() = None;
    }

    fn state(&self) -> MutexGuard<'_, Option<String>> {
        self.last.lock().expect("nothing panics under it")
    }
}

impl ClientContext for ClientEvents {
    /// librdkafka logs a broken connection as an error, and then reconnects: that is a warning here.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        let client = self.client;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", client, facility, "{text}");
            }
            // `kafka.options` go to all clients; each complains about those that only others use.
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
        // "All brokers are down" follows the errors of each of them, and says less.
        if last.is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for ClientEvents {}
