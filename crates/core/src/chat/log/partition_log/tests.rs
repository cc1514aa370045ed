use super::*;
use crate::chat::log::fold::WARM_UP_MS;
use crate::chat::log::record::Body;
use crate::domain::{ChannelName, ClientMsgId, UserName};

const PARTITION: Partition = Partition(3);
const START_MS: u64 = 1_790_000_000_000;
const MINUTE: u64 = 60_000;

/// One message a minute, each sent twice.
fn record(n: u64) -> Decoded {
    let append_ms = START_MS + n * MINUTE;
    let body = Body::Message {
        text: "hi".to_owned(),
        reply_to: None,
        file: None,
    };
    let record = Record {
        channel: ChannelName::parse("ops").expect("a name"),
        private: false,
        sender: UserName::parse("ann").expect("a name"),
        client_msg_id: ClientMsgId::parse(&(n / 2).to_string()).ok(),
        digest: body.digest(),
        received_at_ms: append_ms,
        body,
    };
    Decoded {
        offset: n,
        append_ms,
        content: Content::Record(record),
    }
}

fn budget() -> Arc<Budget> {
    Arc::new(Budget::new(1 << 20, 1))
}

fn begun_at(mark: Mark) -> PartitionLog {
    let stopped = StoppedPartitions::default();
    let mut log = PartitionLog::new(PARTITION, KeyHasher::default(), budget(), stopped);
    log.warm_up(mark, budget());
    log
}

fn said(entries: Vec<Arc<Entry>>) -> Vec<(Offset, Id, Verdict)> {
    let of = |entry: Arc<Entry>| (entry.offset, entry.id, entry.verdict);
    entries.into_iter().map(of).collect()
}

#[test]
fn a_start_behind_a_floor_ahead_of_the_log_reads_again_and_goes_on_alike() {
    let floor = Mark {
        id: Id::mint(START_MS + 24 * 60 * MINUTE, PARTITION, 4_090),
        ..Mark::default()
    };
    let whole = said(begun_at(floor).fold((0..60).map(record).collect()).0);
    assert!(whole[0].1 > floor.id && whole[59].2 == Verdict::Repeat(whole[58].1));

    let mark = Mark {
        offset: 57,
        id: whole[56].1,
        time_ms: START_MS + 56 * MINUTE,
    };
    let from = 56 - WARM_UP_MS / MINUTE;
    let mut log = begun_at(mark);
    assert!(said(log.fold((from..60).map(record).collect()).0).is_empty());
    assert!(log.take_rewind() && !log.take_rewind());
    let entries = log.fold((from..60).map(record).collect()).0;
    assert_eq!(log.stopped(), None);
    assert_eq!(said(entries), whole[57..]);
}

#[test]
fn last_id_is_the_marks_where_nothing_is_kept_below_it() {
    let mark = Mark {
        offset: 57,
        id: Id::mint(START_MS, PARTITION, 3),
        time_ms: START_MS,
    };
    let mut log = begun_at(mark);
    assert_eq!(log.last_id(), mark.id);
    let entries = log.fold(vec![record(57)]).0;
    assert_eq!(log.last_id(), entries[0].id);
    assert!(entries[0].id > mark.id);
}

#[test]
fn another_log_is_told_apart_also_by_a_second_reading() {
    let mark = Mark {
        offset: 57,
        // In the same partition, but much earlier than the log's id at that offset.
        id: Id::mint(START_MS - MINUTE, PARTITION, 0),
        time_ms: START_MS + 56 * MINUTE,
    };
    let mut log = begun_at(mark);
    for _ in 0..2 {
        assert!(log.fold((30..60).map(record).collect()).0.is_empty());
        log.take_rewind();
    }
    let reason = log.stopped().expect("stopped").to_owned();
    assert!(reason.contains("another log"), "{reason}");
    assert!(!log.take_rewind());
}

#[test]
fn offsets_without_records_wait_for_no_archiver() {
    let mut log = begun_at(Mark::default());
    log.fold((0..3).map(record).collect());
    log.advance(5);
    assert!(log.has_unarchived(2) && !log.has_unarchived(3));
    let archived = Mark {
        offset: 3,
        id: log.last_id(),
        time_ms: START_MS,
    };
    let kept = Some(Duration::from_secs(600));
    log.look_at_lag(archived, START_MS + 24 * 60 * MINUTE, kept);
    assert!(log.lag.alarm().is_none() && !log.lag.refuses());
}
