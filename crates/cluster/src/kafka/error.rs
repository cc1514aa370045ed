//! The port's errors for those of librdkafka.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::events::ClientEvents;
use lakechat_core::domain::Partition;
use lakechat_core::ports::{PortError, Reason};

/// The part that errors of this adapter name.
const PART: &str = "kafka";

pub(super) fn unavailable(reason: impl Into<Reason>) -> PortError {
    PortError::unavailable(PART, reason)
}

pub(super) fn broken(reason: impl Into<Reason>) -> PortError {
    PortError::broken(PART, reason)
}

/// One partition cannot be read any further.
pub(super) fn stops(partition: Partition, reason: impl Into<Reason>) -> PortError {
    PortError::stops(PART, Some(partition), reason)
}

/// A failed call, with the latest event of its client: that often names the cause.
pub(super) fn call_failed(error: &KafkaError, events: &ClientEvents) -> PortError {
    unavailable(describe(error, events))
}

pub(super) fn describe(error: &KafkaError, events: &ClientEvents) -> String {
    let what = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
            "no broker of Kafka answers".to_owned()
        }
        Some(code) => code.to_string(),
        None => error.to_string(),
    };
    match events.last_error() {
        Some(last) => format!("{what}; latest event: {last}"),
        None => what,
    }
}
