//! What may be chosen about the log in Kafka.

use std::collections::BTreeMap;
use std::fmt;

/// What a record holds beside the frame that it comes from, at most: names, digest, times.
const RECORD_OVERHEAD_BYTES: usize = 4_096;

/// What a batch of one record holds beside its value.
const BATCH_OVERHEAD_BYTES: usize = 4_096;

/// librdkafka's own default: larger only where a record needs it.
const BATCH_BYTES: usize = 1_000_000;

/// Where the log is and what it is made of.
#[derive(Clone)]
pub struct Settings {
    /// Some brokers: host:port, with commas between.
    pub brokers: String,
    /// What the names of topics and groups begin with.
    pub topic_prefix: String,
    /// Partitions of the log: made with as many, and refused with another count.
    pub partitions: u16,
    /// The largest record, bytes.
    pub record_bytes: usize,
    /// Records on their way, bytes; more is refused.
    pub queue_bytes: usize,
    /// Records that a reader fetches ahead, bytes.
    pub fetch_bytes: usize,
    /// Handed to librdkafka as they are.
    pub options: BTreeMap<String, String>,
}

impl Settings {
    /// What fits most clusters. `frame_bytes`: the largest frame that a client may send, which a
    /// record is made from.
    pub fn at(brokers: &str, topic_prefix: &str, partitions: u16, frame_bytes: usize) -> Settings {
        Settings {
            brokers: brokers.to_owned(),
            topic_prefix: topic_prefix.to_owned(),
            partitions,
            record_bytes: frame_bytes + RECORD_OVERHEAD_BYTES,
            queue_bytes: 16 << 20,
            fetch_bytes: 16 << 20,
            options: BTreeMap::new(),
        }
    }

    /// The topic that is the log.
    pub fn messages_topic(&self) -> String {
        format!("{}.messages", self.topic_prefix)
    }

    /// The topic of records that none could read.
    pub fn dead_letters_topic(&self) -> String {
        format!("{}.dead-letters", self.topic_prefix)
    }

    /// The group of the servers that store.
    pub fn archiver_group(&self) -> String {
        format!("{}.archiver", self.topic_prefix)
    }

    /// The largest batch that is sent, bytes.
    pub(super) fn batch_bytes(&self) -> usize {
        BATCH_BYTES.max(self.record_bytes + BATCH_OVERHEAD_BYTES)
    }
}

impl fmt::Debug for Settings {
    /// Without the values of options: there are passwords among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("partitions", &self.partitions)
            .field("record_bytes", &self.record_bytes)
            .field("queue_bytes", &self.queue_bytes)
            .field("fetch_bytes", &self.fetch_bytes)
            .field("options", &self.options.keys())
            .finish()
    }
}
