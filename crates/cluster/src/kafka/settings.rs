//! Settings of the log in Kafka.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The most that a record holds beside the frame it comes from: names, digest, times.
const RECORD_OVERHEAD_BYTES: usize = 4_096;

/// The most that a batch of one record holds beside its value.
const BATCH_OVERHEAD_BYTES: usize = 4_096;

/// librdkafka's own default; larger only where a record needs it.
const BATCH_BYTES: usize = 1_000_000;

/// Where the log is, its partitions, and its limits.
#[derive(Clone)]
pub struct KafkaSettings {
    /// Some of the brokers: `host:port`, separated by commas.
    pub brokers: String,
    /// The prefix of the names of topics and groups.
    pub topic_prefix: String,
    /// Partitions of the log: a missing topic is created with them; an existing one must have as many.
    pub partitions: u16,
    /// The largest record, bytes.
    pub record_bytes: usize,
    /// Bytes of records in flight. Beyond, publishing fails.
    pub queue_bytes: usize,
    /// Bytes of records that a reader fetches ahead.
    pub fetch_bytes: usize,
    /// How long brokers have to repeat that the topic or an offset is missing before it is believed.
    pub believe_after: Duration,
    /// Passed to librdkafka unchanged.
    pub options: BTreeMap<String, String>,
}

impl KafkaSettings {
    /// Defaults for most clusters. `frame_bytes` is the size of the largest frame that a client may send: a
    /// record is made from one.
    pub fn at(
        brokers: &str,
        topic_prefix: &str,
        partitions: u16,
        frame_bytes: usize,
    ) -> KafkaSettings {
        KafkaSettings {
            brokers: brokers.to_owned(),
            topic_prefix: topic_prefix.to_owned(),
            partitions,
            record_bytes: frame_bytes + RECORD_OVERHEAD_BYTES,
            queue_bytes: 16 << 20,
            fetch_bytes: 16 << 20,
            believe_after: Duration::from_secs(30),
            options: BTreeMap::new(),
        }
    }

    /// The topic that is the log.
    pub fn messages_topic(&self) -> String {
        format!("{}.messages", self.topic_prefix)
    }

    /// The topic of records that could not be decoded.
    pub fn dead_letters_topic(&self) -> String {
        format!("{}.dead-letters", self.topic_prefix)
    }

    /// The topic that names the installation which the log belongs to.
    pub fn installation_topic(&self) -> String {
        format!("{}.installation", self.topic_prefix)
    }

    /// The consumer group that shares the partitions among the servers' archivers.
    pub fn archiver_group(&self) -> String {
        format!("{}.archiver", self.topic_prefix)
    }

    /// The largest batch that is sent, bytes.
    pub(super) fn batch_bytes(&self) -> usize {
        BATCH_BYTES.max(self.record_bytes + BATCH_OVERHEAD_BYTES)
    }
}

impl fmt::Debug for KafkaSettings {
    /// Leaves out the values of options, which may be passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("partitions", &self.partitions)
            .field("record_bytes", &self.record_bytes)
            .field("queue_bytes", &self.queue_bytes)
            .field("fetch_bytes", &self.fetch_bytes)
            .field("believe_after", &self.believe_after)
            .field("options", &self.options.keys())
            .finish()
    }
}
