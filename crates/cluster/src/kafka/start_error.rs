//! The log cannot be used as it is.

use std::fmt;

use rdkafka::error::KafkaError;

use lakechat_core::ports::{PortError, Reason};

/// Why the log could not be opened. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Kafka did not answer in time. A retry may help.
    #[error(transparent)]
    Away(PortError),
    /// librdkafka rejects the options.
    #[error("kafka.options: {0}")]
    Options(String),
    /// Kafka does not let this server create or describe a topic.
    #[error("kafka refuses {what}: {reason}")]
    Refused { what: String, reason: Reason },
    /// Settings of the topics are wrong.
    #[error("{}", list(.0))]
    Topics(Vec<TopicFault>),
    /// A thread could not be started.
    #[error("kafka: {0}")]
    Thread(String),
}

/// A setting of a topic that has to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFault {
    pub topic: String,
    pub setting: &'static str,
    pub is: String,
    pub has_to_be: String,
    /// What to do, with the command to run.
    pub remedy: String,
}

impl StartError {
    /// Whether a retry may help without an operator.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, StartError::Away(_))
    }
}

impl From<PortError> for StartError {
    fn from(error: PortError) -> StartError {
        StartError::Away(error)
    }
}

/// A client could not be created: an option is wrong, or needs what this build lacks.
impl From<KafkaError> for StartError {
    fn from(error: KafkaError) -> StartError {
        let text = match error {
            // The value may be a secret.
            KafkaError::ClientConfig(_, text, option, _) => format!("{option}: {text}"),
            KafkaError::ClientCreation(text) => text,
            other => other.to_string(),
        };
        let build = "this lakechat was built without TLS; build with --features kafka-tls";
        if is_for_tls(&text) && !cfg!(feature = "kafka-tls") {
            return StartError::Options(format!("{build} ({text})"));
        }
        StartError::Options(text)
    }
}

/// Whether librdkafka says that it was built without OpenSSL. A build with TLS would not help Kerberos,
/// which needs another library.
fn is_for_tls(text: &str) -> bool {
    let text = text.to_lowercase();
    let lacking = ["not available at build", "which were not", "recompile"];
    text.contains("openssl")
        && lacking.iter().any(|words| text.contains(words))
        && !text.contains("gssapi")
}

impl fmt::Display for TopicFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TopicFault {
            topic,
            setting,
            is,
            has_to_be,
            remedy,
        } = self;
        write!(
            f,
            "topic {topic}: {setting} is {is} and has to be {has_to_be}: {remedy}"
        )
    }
}

fn list(faults: &[TopicFault]) -> String {
    let lines: Vec<String> = faults.iter().map(TopicFault::to_string).collect();
    lines.join("\n")
}
