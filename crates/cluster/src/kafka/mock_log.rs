//! A log in librdkafka's mock cluster, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::clients;
use super::settings::KafkaSettings;

const FLUSH: Duration = Duration::from_secs(30);

/// A log in librdkafka's mock cluster, whose brokers say what a test wants them to say.
pub(super) struct MockLog {
    pub mock: MockCluster<'static, DefaultProducerContext>,
    pub settings: Arc<KafkaSettings>,
    producer: BaseProducer,
}

impl MockLog {
    /// Two brokers, two partitions. Brokers' claims are believed after this time.
    pub fn believing_after(believe_after: Duration) -> MockLog {
        let mock = MockCluster::new(2).unwrap();
        let settings = KafkaSettings {
            brokers: mock.bootstrap_servers(),
            topic_prefix: "test".into(),
            partitions: 2,
            record_bytes: 100_000,
            queue_bytes: 1 << 20,
            fetch_bytes: 1 << 20,
            believe_after,
            options: BTreeMap::new(),
        };
        for prefix in ["test", "other"] {
            let topic = format!("{prefix}.messages");
            mock.create_topic(&topic, 2, 1).unwrap();
            mock.partition_leader(&topic, 0, Some(1)).unwrap();
        }
        let producer = clients::producer(&settings).create().unwrap();
        MockLog {
            mock,
            settings: Arc::new(settings),
            producer,
        }
    }

    pub fn write(&self, partition: u16, value: &str) {
        self.write_to(&self.settings, partition, value);
    }

    pub fn write_to(&self, settings: &KafkaSettings, partition: u16, value: &str) {
        let topic = settings.messages_topic();
        let record = BaseRecord::<str, str>::to(&topic)
            .partition(partition.into())
            .payload(value);
        self.producer.send(record).unwrap();
        self.producer.flush(FLUSH).unwrap();
    }

    /// Gives partition 0 to a broker, or to none.
    pub fn lead(&self, broker: Option<i32>) {
        let topic = self.settings.messages_topic();
        self.mock.partition_leader(&topic, 0, broker).unwrap();
    }

    /// The same cluster, with another topic as the log.
    pub fn other(&self) -> Arc<KafkaSettings> {
        Arc::new(KafkaSettings {
            topic_prefix: "other".into(),
            ..KafkaSettings::clone(&self.settings)
        })
    }

    /// Brokers say that the topic is unknown, and clients have a reason to ask.
    pub fn forget_topic(&self) {
        self.say_of_topic(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
        let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR;
        self.mock.request_errors(RDKafkaApiKey::Fetch, &[error; 30]);
    }

    pub fn remember_topic(&self) {
        self.mock.clear_request_errors(RDKafkaApiKey::Fetch);
        self.say_of_topic(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    }

    fn say_of_topic(&self, error: RDKafkaRespErr) {
        let topic = self.settings.messages_topic();
        self.mock.topic_error(&topic, error).unwrap();
    }
}
