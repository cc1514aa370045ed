//! Why the log can't be used as it is found.

use std::fmt;

use rdkafka::error::KafkaError;

use lakechat_core::ports::PortError;

/// Why there is no log to start with. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Kafka did not answer in time: worth another try.
    #[error("kafka is not available: {0}")]
    Away(String),
    /// librdkafka does not take the settings.
    #[error("kafka.options: {0}")]
    Options(String),
    /// Kafka answered, and does not let this server make or see a topic.
    #[error("kafka refuses {what}: {reason}")]
    Refused { what: String, reason: String },
    /// The topics are not as they have to be.
    #[error("{}", list(.0))]
    Topics(Vec<TopicFault>),
    /// No thread to work on.
    #[error("kafka: {0}")]
    Thread(String),
}

/// A setting of a topic that has to be another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFault {
    pub topic: String,
    pub setting: &'static str,
    pub is: String,
    pub has_to_be: String,
    /// What to do, with the command.
    pub remedy: String,
}

impl StartError {
    /// Whether trying again may help, with nothing done by an operator.
    pub fn is_away(&self) -> bool {
        matches!(self, StartError::Away(_))
    }
}

impl From<PortError> for StartError {
    fn from(error: PortError) -> StartError {
        match error {
            PortError::Unavailable { reason, .. }
            | PortError::Broken { reason, .. }
            | PortError::Stops { reason, .. } => StartError::Away(reason),
        }
    }
}

/// A client that can't be made: an option is wrong, or this build lacks what it asks for.
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

/// Whether librdkafka says that it was built without OpenSSL. Kerberos would need another library.
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
