//! What librdkafka's errors are to the port.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::events::Heard;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;

/// The part that errors of this adapter name.
const PART: &str = "kafka";

pub(super) fn unavailable(reason: impl Into<String>) -> PortError {
    PortError::unavailable(PART, reason)
}

pub(super) fn broken(reason: impl Into<String>) -> PortError {
    PortError::broken(PART, reason)
}

/// One partition can't be read on.
pub(super) fn stops(partition: Partition, reason: impl Into<String>) -> PortError {
    PortError::stops(PART, Some(partition), reason)
}

/// A call that failed, with what its client heard meanwhile.
pub(super) fn away(error: &KafkaError, heard: &Heard) -> PortError {
    unavailable(told(error, heard))
}

pub(super) fn told(error: &KafkaError, heard: &Heard) -> String {
    let what = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
            "no broker of Kafka answers".to_owned()
        }
        Some(code) => code.to_string(),
        None => error.to_string(),
    };
    match heard.last() {
        Some(last) => format!("{what}; last heard: {last}"),
        None => what,
    }
}
