use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Message, TopicPartitionList};

use super::*;
use lakechat_core::domain::Partition;

pub(in super::super) const PATIENCE: Duration = Duration::from_secs(30);

/// librdkafka's mock cluster: it fails on request, which a real one does not.
pub(in super::super) struct Cluster {
    pub mock: MockCluster<'static, DefaultProducerContext>,
    pub settings: KafkaSettings,
    pub publisher: Publisher,
    pub failed: Receiver<PublishFailure>,
}

pub(in super::super) fn cluster() -> Cluster {
    cluster_with(MockCluster::new(1).unwrap())
}

fn cluster_with(mock: MockCluster<'static, DefaultProducerContext>) -> Cluster {
    cluster_of(mock, 1)
}

fn cluster_of(mock: MockCluster<'static, DefaultProducerContext>, partitions: u16) -> Cluster {
    let settings = KafkaSettings {
        brokers: mock.bootstrap_servers(),
        topic_prefix: "test".into(),
        partitions,
        record_bytes: 100_000,
        queue_bytes: 1 << 20,
        fetch_bytes: 1 << 20,
        believe_after: Duration::from_secs(1),
        options: BTreeMap::new(),
    };
    let count = partitions.into();
    mock.create_topic(&settings.messages_topic(), count, 1)
        .unwrap();
    let publisher = Publisher::new(&settings).unwrap();
    let (tell, failed) = channel();
    publisher.on_publish_failure(Arc::new(move |failure| drop(tell.send(failure))));
    Cluster {
        mock,
        settings,
        publisher,
        failed,
    }
}

impl Cluster {
    fn publish(&self, ticket: u64) -> Result<(), PortError> {
        self.publish_to(Partition(0), ticket)
    }

    fn publish_to(&self, partition: Partition, ticket: u64) -> Result<(), PortError> {
        self.publisher.publish(&OutgoingRecord {
            partition,
            key: "ops".into(),
            value: ticket.to_string().into(),
            ticket,
        })
    }

    fn read(&self, count: usize) -> Vec<String> {
        read(&self.settings, count)
    }
}

/// The values in the log, when there are so many.
pub(in super::super) fn read(settings: &KafkaSettings, count: usize) -> Vec<String> {
    let consumer: BaseConsumer = clients::reader(settings).create().unwrap();
    let mut list = TopicPartitionList::new();
    let begin = rdkafka::Offset::Offset(0);
    list.add_partition_offset(&settings.messages_topic(), 0, begin)
        .unwrap();
    consumer.assign(&list).unwrap();
    let (mut values, started) = (Vec::new(), Instant::now());
    while values.len() < count {
        assert!(started.elapsed() < PATIENCE, "read {values:?}");
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            let value = message.payload().unwrap().to_vec();
            values.push(String::from_utf8(value).unwrap());
        }
    }
    values
}

#[test]
fn another_producer_takes_over_after_a_fatal_error() {
    let mock = MockCluster::new(1).unwrap();
    let no_rights = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    mock.request_errors(RDKafkaApiKey::InitProducerId, &[no_rights]);
    let cluster = cluster_with(mock);
    let first = cluster.publisher.current();
    cluster.publish(1).unwrap();
    let failed = cluster.failed.recv_timeout(PATIENCE).unwrap();
    assert_eq!((failed.ticket, failed.refused), (1, false));
    let started = Instant::now();
    while cluster.publish(2).is_err() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert!(!Arc::ptr_eq(&first, &cluster.publisher.current()));
    assert_eq!(cluster.read(1), ["2"]);
}

#[test]
fn another_producer_waits_until_the_records_of_the_failed_one_are_reported() {
    let cluster = cluster_of(MockCluster::new(2).unwrap(), 2);
    let topic = cluster.settings.messages_topic();
    for partition in 0..2 {
        let leader = Some(partition + 1);
        cluster
            .mock
            .partition_leader(&topic, partition, leader)
            .unwrap();
    }
    let first = cluster.publisher.current();
    // It is older than the least age of a producer that is replaced, and its record still under way.
    let late = Duration::from_secs(3);
    cluster.mock.broker_round_trip_time(2, late).unwrap();
    cluster.publish_to(Partition(1), 1).unwrap();
    let lost = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.mock.request_errors(RDKafkaApiKey::Produce, &[lost]);
    let (mut ticket, started) = (2, Instant::now());
    while Arc::ptr_eq(&first, &cluster.publisher.current()) {
        assert!(started.elapsed() < PATIENCE);
        // Refused after the fatal error, until the other one takes over.
        drop(cluster.publish(ticket));
        ticket += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(first.in_flight_count(), 0);
}

#[test]
fn record_that_a_broker_rejects_is_refused_and_one_without_an_answer_is_unknown() {
    let cluster = cluster();
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster
        .mock
        .request_errors(RDKafkaApiKey::Produce, &[too_large]);
    cluster.publish(7).unwrap();
    let failed = cluster.failed.recv_timeout(PATIENCE).unwrap();
    assert_eq!((failed.ticket, failed.refused), (7, true));

    cluster.mock.broker_down(1).unwrap();
    cluster.publish(8).unwrap();
    let failed = cluster.failed.recv_timeout(PATIENCE).unwrap();
    assert_eq!((failed.ticket, failed.refused), (8, false));
}

#[test]
fn records_that_wait_for_a_broker_are_written_in_order_when_it_is_back() {
    let cluster = cluster();
    cluster.publish(0).unwrap();
    cluster.read(1);
    cluster.mock.broker_down(1).unwrap();
    for ticket in 1..100 {
        cluster.publish(ticket).unwrap();
    }
    cluster.mock.broker_up(1).unwrap();
    let values = cluster.read(100);
    assert!(values.into_iter().eq((0..100).map(|n| n.to_string())));
    assert!(cluster.failed.try_recv().is_err());
}

#[test]
fn record_in_flight_at_the_end_is_unknown() {
    let cluster = cluster();
    cluster.publish(0).unwrap();
    cluster.read(1);
    cluster.mock.broker_down(1).unwrap();
    cluster.publish(1).unwrap();
    let Cluster {
        publisher, failed, ..
    } = cluster;
    drop(publisher);
    let failed = failed.recv_timeout(PATIENCE).unwrap();
    assert_eq!((failed.ticket, failed.refused), (1, false));
}
