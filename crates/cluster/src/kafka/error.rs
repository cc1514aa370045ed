//! The port's errors for those of librdkafka.

use std::error::Error;
use std::fmt;

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
pub(super) fn call_failed(error: KafkaError, events: &ClientEvents) -> PortError {
    unavailable(KafkaFailure::new(error, events))
}

/// A call that failed for one partition.
pub(super) fn call_failed_for(
    partition: Partition,
    error: KafkaError,
    events: &ClientEvents,
) -> PortError {
    unavailable(KafkaFailure::new(error, events).during(&format!("partition {partition}")))
}

/// An error of librdkafka, in words for an operator.
///
/// Its text includes that of the error and of the error's source, so it has no further source. The error
/// itself is in the field.
#[derive(Debug)]
pub(super) struct KafkaFailure {
    pub error: KafkaError,
    latest_event: Option<String>,
    /// What failed, if the error doesn't say it.
    during: Option<String>,
}

impl KafkaFailure {
    pub fn new(error: KafkaError, events: &ClientEvents) -> KafkaFailure {
        let latest_event = events.last_error();
        KafkaFailure {
            error,
            latest_event,
            during: None,
        }
    }

    pub fn during(mut self, what: &str) -> KafkaFailure {
        self.during = Some(what.to_owned());
        self
    }

    pub fn code(&self) -> Option<RDKafkaErrorCode> {
        match &self.error {
            // librdkafka's binding leaves this one out.
            KafkaError::AdminOp(code) => Some(*code),
            error => error.rdkafka_error_code(),
        }
    }
}

impl fmt::Display for KafkaFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(what) = &self.during {
            write!(f, "{what}: ")?;
        }
        match self.code() {
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
                write!(f, "no broker of Kafka answers")?;
            }
            Some(code) => write!(f, "{code}")?,
            None => write!(f, "{}", self.error)?,
        }
        match &self.latest_event {
            Some(event) => write!(f, "; latest event: {event}"),
            None => Ok(()),
        }
    }
}

impl Error for KafkaFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: KafkaError) -> PortError {
        call_failed(error, &ClientEvents::of("test"))
    }

    #[test]
    fn error_of_librdkafka_stays_the_reason() {
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        let error = failure(full.clone());
        let kept = error.reason().downcast_ref::<KafkaFailure>().unwrap();
        assert_eq!(kept.error, full);
        assert!(error.to_string().contains("Queue full"), "{error}");
    }

    #[test]
    fn code_of_an_administrative_call_is_known() {
        let denied = KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed);
        let failure = KafkaFailure::new(denied, &ClientEvents::of("test"));
        assert_eq!(
            failure.code(),
            Some(RDKafkaErrorCode::TopicAuthorizationFailed)
        );
    }
}
