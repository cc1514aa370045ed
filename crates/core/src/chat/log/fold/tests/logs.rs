//! Random logs, and folds that start in the middle of one.

use std::ops::Range;

use proptest::prelude::*;

use crate::chat::log::fold::{Fold, KeyHasher, Verdict, WARM_UP_MS};
use crate::chat::log::record::{Body, Record};
use crate::domain::{ChannelName, ClientMsgId, Id, Partition, UserName};

pub const PARTITION: Partition = Partition(37);
/// The time at which random logs begin: 2026-11-23.
pub const START_MS: u64 = 1_795_420_000_000;
pub const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A record of the log. `record` is `None` if it is unreadable.
#[derive(Clone, Debug)]
pub struct Entry {
    pub append_ms: u64,
    pub record: Option<Record>,
}

pub type Log = Vec<Entry>;
pub type Folded = Vec<(Id, Verdict)>;

/// A message whose `received_at` is its append time.
pub fn message(append_ms: u64, client_msg_id: Option<&str>, text: &str) -> Entry {
    let body = Body::Message {
        text: text.to_owned(),
        reply_to: None,
        file: None,
    };
    entry(append_ms, 0, client_msg_id, body)
}

/// A record of a server whose clock was `ahead_ms` ahead of the log's.
pub fn entry(append_ms: u64, ahead_ms: i64, client_msg_id: Option<&str>, body: Body) -> Entry {
    let record = Record {
        channel: ChannelName::parse("ops").unwrap(),
        private: false,
        sender: UserName::parse("ann").unwrap(),
        client_msg_id: client_msg_id.map(|c| ClientMsgId::parse(c).unwrap()),
        digest: body.digest(),
        received_at_ms: append_ms.checked_add_signed(ahead_ms).unwrap(),
        body,
    };
    Entry {
        append_ms,
        record: Some(record),
    }
}

/// Continues a fold with a part of a log, and returns the ids and verdicts.
pub fn fold_on(fold: &mut Fold, log: &[Entry]) -> Folded {
    log.iter()
        .map(|e| fold.next(e.append_ms, e.record.as_ref()))
        .collect()
}

pub fn fold_all(log: &[Entry]) -> Folded {
    let mut fold = Fold::new(PARTITION, Id::ZERO, KeyHasher::default());
    fold_on(&mut fold, log)
}

/// The offset below which history has everything, as the archiver records it.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub offset: usize,
    pub last: Id,
    /// The append time of the last record below the offset that is not late.
    pub time_ms: Option<u64>,
}

impl Mark {
    pub fn at(offset: usize, log: &[Entry], folded: &Folded) -> Mark {
        let below = log.iter().zip(folded).take(offset);
        Mark {
            offset,
            last: offset.checked_sub(1).map_or(Id::ZERO, |i| folded[i].0),
            time_ms: below
                .filter(|(_, (_, verdict))| !verdict.is_late())
                .map(|(e, _)| e.append_ms)
                .next_back(),
        }
    }

    /// The offset at which a reader begins to fold. `kept`: the first offset still in the log.
    pub fn warm_up_from(&self, log: &[Entry], kept: usize) -> usize {
        let start_ms = self.time_ms.map_or(0, |t| t.saturating_sub(WARM_UP_MS));
        let from = log.iter().position(|e| e.append_ms >= start_ms);
        from.unwrap_or(log.len()).max(kept)
    }
}

/// A fold that is warmed up by the rules. The mark's offset comes next.
pub fn warmed_up(log: &[Entry], kept: usize, mark: &Mark) -> Fold {
    let from = mark.warm_up_from(log, kept);
    let last = if from == mark.offset {
        mark.last
    } else {
        Id::ZERO
    };
    warmed_up_from(log, from, last, mark)
}

pub fn warmed_up_from(log: &[Entry], from: usize, last: Id, mark: &Mark) -> Fold {
    let mut fold = Fold::new(PARTITION, last, KeyHasher::default());
    fold_on(&mut fold, &log[from..mark.offset]);
    fold
}

/// The time in ms from one record's append to the next one's.
fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => Just(0),
        4 => 1..2_000i64,
        4 => MINUTE..12 * MINUTE,
        1 => 10 * MINUTE - 1..=10 * MINUTE + 1,
        1 => -10..0i64,
        1 => -12 * MINUTE..0,
        1 => -5 * HOUR..0,
        1 => 0..5 * HOUR,
    ]
}

/// How far the server's clock is ahead of the log's, in ms.
fn ahead() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => Just(0),
        3 => -MINUTE..=MINUTE,
        1 => prop::sample::select(vec![-MINUTE - 1, -MINUTE, MINUTE, MINUTE + 1]),
        1 => -5 * HOUR..5 * HOUR,
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let target = (1..4u64).prop_map(|n| Id::from_u64(n).unwrap());
    let text = prop::sample::select(vec!["hi", "hi", "hi", "ho"]).prop_map(str::to_owned);
    prop_oneof![
        6 => text.clone().prop_map(|text| Body::Message { text, reply_to: None, file: None }),
        2 => (target.clone(), text).prop_map(|(target, text)| Body::Edit { target, text }),
        1 => target.clone().prop_map(|target| Body::Delete { target }),
        2 => (target, any::<bool>())
            .prop_map(|(target, on)| Body::React { target, emoji: "👍".into(), on, before: None }),
        1 => Just(Body::Archive),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let one_of = |names: &'static [&'static str]| prop::sample::select(names);
    // A few keys, one of them frequent, give repeats, conflicts and chains of repeats.
    let key = (
        one_of(&["ops", "ops", "ops", "dev"]),
        one_of(&["ann", "ann", "ann", "bob"]),
        prop::option::weighted(0.8, one_of(&["c-1", "c-1", "c-1", "c-2", "c-3"])),
    );
    (key, body()).prop_map(|((channel, sender, client_msg_id), body)| Record {
        channel: ChannelName::parse(channel).unwrap(),
        private: false,
        sender: UserName::parse(sender).unwrap(),
        client_msg_id: client_msg_id.map(|c| ClientMsgId::parse(c).unwrap()),
        digest: body.digest(),
        received_at_ms: 0,
        body,
    })
}

#[derive(Clone, Debug)]
enum Piece {
    One(i64, i64, Option<Record>),
    /// This many records within one ms; the flag makes all of them late.
    Burst(usize, bool),
}

fn lay(pieces: Vec<Piece>, start_ms: u64) -> Log {
    let mut now = start_ms;
    let mut log = Vec::new();
    for piece in pieces {
        match piece {
            Piece::One(gap, ahead, record) => {
                now = now.saturating_add_signed(gap);
                let record = record.map(|record| Record {
                    received_at_ms: now.saturating_add_signed(ahead),
                    ..record
                });
                log.push(Entry {
                    append_ms: now,
                    record,
                });
            }
            Piece::Burst(n, late) => {
                let ahead = if late { HOUR } else { 0 };
                log.extend((0..n).map(|_| entry(now, ahead, None, Body::Archive)));
            }
        }
    }
    log
}

fn one() -> impl Strategy<Value = Piece> {
    let record = prop::option::weighted(0.95, record());
    (gap(), ahead(), record).prop_map(|(gap, ahead, record)| Piece::One(gap, ahead, record))
}

pub fn logs(records: Range<usize>) -> impl Strategy<Value = Log> {
    prop::collection::vec(one(), records).prop_map(|pieces| lay(pieces, START_MS))
}

/// Logs with bursts, which append about as many records within one ms as the ms has ids, or more.
pub fn bursting_logs() -> impl Strategy<Value = Log> {
    let burst = (4_000..4_200usize, any::<bool>()).prop_map(|(n, late)| Piece::Burst(n, late));
    let piece = prop_oneof![20 => one(), 1 => burst];
    prop::collection::vec(piece, 1..60).prop_map(|pieces| lay(pieces, START_MS))
}

/// A log with a gap of days, and the offset of the first record after the gap. Every record before
/// the gap is older than any window after it, so retention may delete it.
pub fn logs_with_a_silence() -> impl Strategy<Value = (Log, usize)> {
    let halves = (
        prop::collection::vec(one(), 1..40),
        prop::collection::vec(one(), 1..20),
    );
    halves.prop_map(|(before, after)| {
        let log = lay(before, START_MS);
        let silence = log.len();
        let days_later = START_MS + 20 * 24 * HOUR as u64;
        (
            log.into_iter().chain(lay(after, days_later)).collect(),
            silence,
        )
    })
}
