use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::super::mock_log::MockLog;
use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
const OUT_OF_RANGE: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;

fn reader(log: &MockLog, from: &[(u16, Offset)]) -> KafkaReader {
    let from: Vec<_> = from.iter().map(|(p, at)| (Partition(*p), *at)).collect();
    let doubts = Arc::new(Doubts::new(log.settings.believe_after));
    KafkaReader::new(&log.settings, &doubts, &from)
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
    let mut reader = reader(&log, &[(0, 0)]);
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
    let mut reader = reader(&log, &[(0, 0)]);
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
    let mut reader = reader(&log, &[(0, 0)]);
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
fn offset_that_is_called_out_of_range_again_and_again_stops_its_partition() {
    // The mock cluster takes half a second for each of these answers.
    let log = MockLog::believing_after(Duration::from_secs(3));
    let mut reader = reader(&log, &[(0, 0), (1, 0)]);
    log.write(0, "a");
    log.mock
        .request_errors(RDKafkaApiKey::Fetch, &[OUT_OF_RANGE; 1_000]);
    let end = Seen::default().until(&mut reader, Seen::has_ended).end();
    assert_eq!(stopped_partition(&end), Some(Partition(0)), "{end:?}");
    assert!(end.to_string().contains("is gone"), "{end}");
}

fn stopped_partition(error: &PortError) -> Option<Partition> {
    match error {
        PortError::Stops { partition, .. } => *partition,
        _ => None,
    }
}

#[test]
fn fetches_that_fail_now_and_then_stop_no_partition_that_is_read_on() {
    let believe_after = Duration::from_secs(2);
    let log = MockLog::believing_after(believe_after);
    let mut reader = reader(&log, &[(0, 0), (1, 0)]);
    let (mut seen, began) = (Seen::default(), Instant::now());
    for n in 0.. {
        log.mock
            .request_errors(RDKafkaApiKey::Fetch, &[OUT_OF_RANGE]);
        log.write(n % 2, &n.to_string());
        seen = seen.until(&mut reader, Seen::has(usize::from(n) + 1));
        if began.elapsed() > 2 * believe_after {
            break;
        }
    }
    assert!(seen.is_unavailable(), "{:?}", seen.errors);
    let read = seen
        .values
        .iter()
        .map(|value| value.parse::<usize>().unwrap());
    assert!(read.eq(0..seen.values.len()), "{:?}", seen.values);
}

#[test]
fn partition_without_a_leader_keeps_no_other_from_being_read() {
    let log = MockLog::believing_after(PATIENCE);
    log.write(0, "a");
    log.write(1, "b");
    log.lead(None);
    let mut reader = reader(&log, &[(0, 0), (1, 0)]);
    let seen = Seen::default().until(&mut reader, Seen::has(1));
    assert_eq!(seen.values, ["b"]);
    log.lead(Some(2));
    let seen = seen.until(&mut reader, Seen::has(2));
    assert_eq!(seen.values, ["b", "a"]);
    assert!(seen.errors.is_empty(), "{:?}", seen.errors);
}

#[test]
fn missing_offset_stops_its_partition_and_meanwhile_others_are_read() {
    let log = MockLog::believing_after(Duration::from_secs(1));
    let mut reader = reader(&log, &[(0, 5), (1, 0)]);
    log.write(0, "a");
    log.write(1, "b");
    let seen = Seen::default().until(&mut reader, Seen::has(1));
    assert_eq!(seen.values, ["b"]);
    let end = seen.until(&mut reader, Seen::has_ended).end();
    assert_eq!(stopped_partition(&end), Some(Partition(0)), "{end:?}");
    let text = "keeps offsets 0 to 1, and 5 was to be read";
    assert!(end.to_string().contains(text), "{end}");
}

#[test]
fn offset_that_appears_in_time_is_read() {
    let log = MockLog::believing_after(PATIENCE);
    let mut reader = reader(&log, &[(0, 2), (1, 0)]);
    log.write(0, "a");
    log.write(1, "b");
    let seen = Seen::default().until(&mut reader, Seen::has(1));
    for value in ["c", "d"] {
        log.write(0, value);
    }
    let seen = seen.until(&mut reader, Seen::has(2));
    assert_eq!(seen.values, ["b", "d"]);
    // The other partition is read meanwhile, so no poll fails.
    assert!(seen.errors.is_empty(), "{:?}", seen.errors);
}

#[test]
fn leaders_that_move_and_are_fenced_lose_and_double_nothing() {
    let log = MockLog::believing_after(PATIENCE);
    let mut reader = reader(&log, &[(0, 0)]);
    let mut seen = Seen::default();
    for n in 0..12 {
        log.write(0, &n.to_string());
        log.lead(Some(1 + n % 2));
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
    let mut reader = reader(&log, &[(0, 0)]);
    log.write(0, "a");
    Seen::default().until(&mut reader, Seen::has(1));
    // The same offsets hold other records, as after an unclean election.
    let other = log.other();
    std::thread::sleep(Duration::from_millis(2));
    log.write_to(&other, 0, "b");
    log.write_to(&other, 0, "c");
    reader.settings = other;
    reader.client = None;
    let end = Seen::default().until(&mut reader, Seen::has_ended).end();
    assert!(matches!(end, PortError::Stops { .. }), "{end:?}");
    assert!(end.to_string().contains("holds another record"), "{end}");
}
