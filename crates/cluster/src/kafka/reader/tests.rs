use std::collections::BTreeMap;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::super::clients;
use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
const OUT_OF_RANGE: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;

/// A log in librdkafka's mock cluster, whose brokers say what a test wants them to say.
struct MockLog {
    mock: MockCluster<'static, DefaultProducerContext>,
    settings: Arc<KafkaSettings>,
    producer: BaseProducer,
}

impl MockLog {
    /// Two brokers, two partitions. Brokers' claims are believed after this time.
    fn believing_after(believe_after: Duration) -> MockLog {
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

    fn reader(&self, from: &[(u16, Offset)]) -> KafkaReader {
        let from: Vec<_> = from.iter().map(|(p, at)| (Partition(*p), *at)).collect();
        let doubts = Arc::new(Doubts::new(self.settings.believe_after));
        KafkaReader::new(&self.settings, &doubts, &from)
    }

    fn write(&self, partition: u16, value: &str) {
        self.write_to(&self.settings, partition, value);
    }

    fn write_to(&self, settings: &KafkaSettings, partition: u16, value: &str) {
        let topic = settings.messages_topic();
        let record = BaseRecord::<str, str>::to(&topic)
            .partition(partition.into())
            .payload(value);
        self.producer.send(record).unwrap();
        self.producer.flush(PATIENCE).unwrap();
    }

    /// Gives partition 0 to a broker.
    fn lead(&self, broker: i32) {
        let topic = self.settings.messages_topic();
        self.mock.partition_leader(&topic, 0, Some(broker)).unwrap();
    }

    /// Brokers say that the topic is unknown, and clients have a reason to ask.
    fn forget_topic(&self) {
        self.say_of_topic(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
        let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR;
        self.mock.request_errors(RDKafkaApiKey::Fetch, &[error; 30]);
    }

    fn remember_topic(&self) {
        self.mock.clear_request_errors(RDKafkaApiKey::Fetch);
        self.say_of_topic(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    }

    fn say_of_topic(&self, error: RDKafkaRespErr) {
        let topic = self.settings.messages_topic();
        self.mock.topic_error(&topic, error).unwrap();
    }
}

/// What a reader returned until a poll came to an end, and the errors on the way.
#[derive(Default)]
struct Seen {
    values: Vec<String>,
    errors: Vec<PortError>,
}

impl Seen {
    /// Polls as the log's reader does until `enough`.
    fn until(mut self, reader: &mut KafkaReader, enough: impl Fn(&Seen) -> bool) -> Seen {
        let started = Instant::now();
        while !enough(&self) {
            let Seen { values, errors } = &self;
            let late = started.elapsed() > PATIENCE;
            assert!(
                !late,
                "{values:?} {} errors, {:?}",
                errors.len(),
                errors.last()
            );
            let mut records = Vec::new();
            let polled = reader.poll(Duration::from_millis(50), &mut records);
            let value = |r: LogRecord| String::from_utf8(r.value.to_vec()).unwrap();
            self.values.extend(records.into_iter().map(value));
            self.errors.extend(polled.err());
        }
        self
    }

    fn has(count: usize) -> impl Fn(&Seen) -> bool {
        move |seen| seen.values.len() >= count
    }

    fn is_unavailable(&self) -> bool {
        !self.errors.is_empty()
            && self
                .errors
                .iter()
                .all(|e| matches!(e, PortError::Unavailable { .. }))
    }

    /// The error that ended reading; all before it were `Unavailable`.
    fn end(mut self) -> PortError {
        let end = self.errors.pop().unwrap();
        let before = self.errors.is_empty() || self.is_unavailable();
        assert!(before, "{:?}", self.errors);
        end
    }

    fn has_ended(&self) -> bool {
        let goes_on = |e: &PortError| matches!(e, PortError::Unavailable { .. });
        self.errors.last().is_some_and(|e| !goes_on(e))
    }
}

#[test]
fn topic_that_is_unknown_for_a_moment_is_read_on() {
    let log = MockLog::believing_after(PATIENCE);
    let mut reader = log.reader(&[(0, 0)]);
    log.write(0, "a");
    let seen = Seen::default().until(&mut reader, Seen::has(1));
    log.forget_topic();
    let seen = seen.until(&mut reader, |seen| seen.errors.len() > 2);
    log.remember_topic();
    log.write(0, "b");
    let seen = seen.until(&mut reader, Seen::has(2));
    assert!(seen.is_unavailable(), "{:?}", seen.errors);
    assert_eq!(seen.values, ["a", "b"]);
    assert_eq!(reader.position(Partition(0)), 2);
}

#[test]
fn topic_that_stays_unknown_was_deleted() {
    let log = MockLog::believing_after(Duration::from_secs(1));
    let mut reader = log.reader(&[(0, 0)]);
    log.write(0, "a");
    let seen = Seen::default().until(&mut reader, Seen::has(1));
    log.forget_topic();
    let end = seen.until(&mut reader, Seen::has_ended).end();
    assert!(matches!(end, PortError::Broken { .. }), "{end:?}");
    assert!(end.to_string().contains("was deleted"), "{end}");
}

#[test]
fn partition_whose_offset_is_called_out_of_range_once_is_read_on() {
    let log = MockLog::believing_after(PATIENCE);
    let mut reader = log.reader(&[(0, 0)]);
    log.write(0, "a");
    let seen = Seen::default().until(&mut reader, Seen::has(1));
    // Nobody answers the question that follows, either.
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN;
    log.mock
        .request_errors(RDKafkaApiKey::ListOffsets, &[unknown; 4]);
    // librdkafka does not see the first one if it has just reached the end.
    log.mock
        .request_errors(RDKafkaApiKey::Fetch, &[OUT_OF_RANGE; 2]);
    let seen = seen.until(&mut reader, |seen| !seen.errors.is_empty());
    log.write(0, "b");
    let seen = seen.until(&mut reader, Seen::has(2));
    assert!(seen.is_unavailable(), "{:?}", seen.errors);
    assert_eq!(seen.values, ["a", "b"]);
}

#[test]
fn offset_that_is_called_out_of_range_again_and_again_breaks_the_reader() {
    // The mock cluster takes half a second for each of these answers.
    let log = MockLog::believing_after(Duration::from_secs(3));
    let mut reader = log.reader(&[(0, 0)]);
    log.write(0, "a");
    log.mock
        .request_errors(RDKafkaApiKey::Fetch, &[OUT_OF_RANGE; 1_000]);
    let end = Seen::default().until(&mut reader, Seen::has_ended).end();
    assert!(matches!(end, PortError::Broken { .. }), "{end:?}");
    assert!(end.to_string().contains("is gone"), "{end}");
}

#[test]
fn missing_offset_stops_its_partition_and_meanwhile_others_are_read() {
    let log = MockLog::believing_after(Duration::from_secs(1));
    let mut reader = log.reader(&[(0, 5), (1, 0)]);
    log.write(0, "a");
    log.write(1, "b");
    let seen = Seen::default().until(&mut reader, Seen::has(1));
    assert_eq!(seen.values, ["b"]);
    let end = seen.until(&mut reader, Seen::has_ended).end();
    let PortError::Stops {
        partition, reason, ..
    } = end
    else {
        panic!("{end:?}")
    };
    assert_eq!(partition, Some(Partition(0)));
    let reason = reason.to_string();
    assert!(
        reason.contains("keeps offsets 0 to 1, and 5 was to be read"),
        "{reason}"
    );
}

#[test]
fn offset_that_appears_in_time_is_read() {
    let log = MockLog::believing_after(PATIENCE);
    let mut reader = log.reader(&[(0, 2), (1, 0)]);
    log.write(0, "a");
    log.write(1, "b");
    let seen = Seen::default().until(&mut reader, Seen::has(1));
    for value in ["c", "d"] {
        log.write(0, value);
    }
    let seen = seen.until(&mut reader, Seen::has(2));
    assert_eq!(seen.values, ["b", "d"]);
    assert!(seen.is_unavailable(), "{:?}", seen.errors);
}

#[test]
fn leaders_that_move_and_are_fenced_lose_and_double_nothing() {
    let log = MockLog::believing_after(PATIENCE);
    let mut reader = log.reader(&[(0, 0)]);
    let mut seen = Seen::default();
    for n in 0..12 {
        log.write(0, &n.to_string());
        log.lead(1 + n % 2);
        let errors = [
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        ];
        let error = errors[n as usize % errors.len()];
        log.mock.request_errors(RDKafkaApiKey::Fetch, &[error]);
        seen = seen.until(&mut reader, Seen::has(n as usize + 1));
    }
    assert!(seen.values.into_iter().eq((0..12).map(|n| n.to_string())));
}

#[test]
fn records_that_were_replaced_stop_the_partition() {
    let log = MockLog::believing_after(PATIENCE);
    let mut reader = log.reader(&[(0, 0)]);
    log.write(0, "a");
    Seen::default().until(&mut reader, Seen::has(1));
    // The same offsets hold other records, as after an unclean election.
    let other = KafkaSettings {
        topic_prefix: "other".into(),
        ..KafkaSettings::clone(&log.settings)
    };
    std::thread::sleep(Duration::from_millis(2));
    log.write_to(&other, 0, "b");
    log.write_to(&other, 0, "c");
    reader.settings = Arc::new(other);
    reader.client = None;
    let end = Seen::default().until(&mut reader, Seen::has_ended).end();
    assert!(matches!(end, PortError::Stops { .. }), "{end:?}");
    assert!(end.to_string().contains("holds another record"), "{end}");
}
