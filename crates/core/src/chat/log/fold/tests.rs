//! Tests of the fold's rules, one by one and with random logs.

pub(super) mod logs;
mod model;
mod warm_up;

use proptest::prelude::*;

use super::{Fold, KeyHasher, LATE_MS, Verdict, WINDOW_MS, Window};
use crate::chat::log::record::Body;
use crate::domain::{Id, id};
use logs::{Entry, PARTITION, START_MS, entry, fold_all, fold_on, message};
use model::Model;

fn edit(append_ms: u64, target: Id) -> Entry {
    let text = "edited".to_owned();
    entry(append_ms, 0, None, Body::Edit { target, text })
}

fn delete(append_ms: u64, ahead_ms: i64, target: Id) -> Entry {
    entry(append_ms, ahead_ms, None, Body::Delete { target })
}

fn verdicts(log: &[Entry]) -> Vec<Verdict> {
    fold_all(log).into_iter().map(|(_, v)| v).collect()
}

#[test]
fn ids_take_the_append_time_and_count_within_a_ms_and_while_the_clock_is_back() {
    let log = [0, 0, 5, 3, 5, 6].map(|ms| message(START_MS + ms, None, "hi"));
    let ids: Vec<_> = fold_all(&log).iter().map(|(id, _)| *id).collect();
    let expected = [(0, 0), (0, 1), (5, 0), (5, 1), (5, 2), (6, 0)]
        .map(|(ms, step)| Id::mint(START_MS + ms, PARTITION, step));
    assert_eq!(ids, expected);
}

#[test]
fn a_full_millisecond_runs_over_into_the_next() {
    let mut fold = Fold::new(PARTITION, Id::ZERO, KeyHasher::default());
    let last =
        (0..4096).map(|_| fold.next(START_MS, message(START_MS, None, "hi").record.as_ref()));
    let last = last.last().unwrap().0;
    assert_eq!(last, Id::mint(START_MS, PARTITION, id::MAX_STEP));
    let over = fold.next(START_MS, None).0;
    assert_eq!(over, Id::mint(START_MS + 1, PARTITION, 0));
    assert_eq!(fold.last_id(), over);
}

#[test]
fn a_log_whose_clock_stands_before_2024_has_ids_too() {
    let log = [0, 1_000, 2_000].map(|ms| message(ms + LATE_MS, None, "hi"));
    let ids = fold_all(&log);
    let expected = [1, 2, 3].map(|step| Id::mint(id::EPOCH_MS, PARTITION, step));
    assert_eq!(ids.iter().map(|(id, _)| *id).collect::<Vec<_>>(), expected);
}

#[test]
fn lateness_begins_over_a_minute_either_way() {
    let minute = LATE_MS as i64;
    let log = [minute, minute + 1, -minute, -minute - 1]
        .map(|ahead| entry(START_MS, ahead, None, Body::Archive));
    let (ok, late) = (Verdict::Accepted, Verdict::Late);
    assert_eq!(verdicts(&log), [ok, late, ok, late]);
}

#[test]
fn a_key_is_known_for_as_long_as_its_first_record_is_not_too_old() {
    let log = [0, WINDOW_MS, WINDOW_MS + 1].map(|ms| message(START_MS + ms, Some("c"), "hi"));
    let folded = fold_all(&log);
    assert_eq!(folded[1].1, Verdict::Repeat(folded[0].0));
    // The first record was evicted. The second one still shows that there was one.
    assert_eq!(folded[2].1, Verdict::Expired);
}

#[test]
fn a_chain_of_repeats_stays_expired_until_all_of_it_has_left() {
    let step = WINDOW_MS / 2;
    let mut log: Vec<_> = (0..20)
        .map(|n| message(START_MS + n * step, Some("c"), "hi"))
        .collect();
    let last = log.last().unwrap().append_ms;
    log.push(message(last + WINDOW_MS + 1, Some("c"), "hi"));
    let verdicts = verdicts(&log);
    assert_eq!(verdicts[0], Verdict::Accepted);
    assert!(verdicts[3..20].iter().all(|v| *v == Verdict::Expired));
    assert_eq!(verdicts[20], Verdict::Accepted);
}

#[test]
fn other_content_under_the_same_key_is_a_conflict_with_the_first() {
    let log = [("c", "hi"), ("c", "ho"), ("c", "hi"), ("d", "ho")]
        .map(|(key, text)| message(START_MS, Some(key), text));
    let first = fold_all(&log)[0].0;
    let expected = [
        Verdict::Accepted,
        Verdict::Conflict(first),
        Verdict::Repeat(first),
        Verdict::Accepted,
    ];
    assert_eq!(verdicts(&log), expected);
}

#[test]
fn an_entry_behind_a_younger_front_waits() {
    let at = [WINDOW_MS, 0, WINDOW_MS + 1, 2 * WINDOW_MS + 1];
    let keys = ["young", "old", "old", "old"];
    let log: Vec<_> = at
        .iter()
        .zip(keys)
        .map(|(ms, key)| message(START_MS + ms, Some(key), "hi"))
        .collect();
    let folded = fold_all(&log);
    assert_eq!(folded[2].1, Verdict::Repeat(folded[1].0));
    assert_eq!(folded[3].1, Verdict::Expired);
}

#[test]
fn what_was_deleted_takes_no_change_while_the_delete_stands_in_the_window() {
    let target = Id::from_u64(7).unwrap();
    let log = [
        edit(START_MS, target),
        delete(START_MS, 3_600_000, target),
        edit(START_MS, target),
        delete(START_MS, 0, target),
        edit(START_MS, target),
        delete(START_MS + WINDOW_MS, 0, target),
        edit(START_MS + WINDOW_MS + 1, target),
        edit(START_MS + 2 * WINDOW_MS + 1, target),
    ];
    use Verdict::{Accepted, Deleted, Late};
    let expected = [
        Accepted, Late, Accepted, Accepted, Deleted, Deleted, Deleted, Accepted,
    ];
    assert_eq!(verdicts(&log), expected);
}

/// The window must return its memory. Otherwise a partition that was busy once would refuse sends
/// forever.
#[test]
fn memory_follows_what_stands_in_the_window() {
    let mut fold = Fold::new(PARTITION, Id::ZERO, KeyHasher::default());
    let mut sizes = vec![fold.window().bytes()];
    for n in 0..20_000u64 {
        let target = Id::from_u64(n).unwrap();
        let record = entry(
            START_MS + n,
            0,
            Some(&n.to_string()),
            Body::Delete { target },
        );
        fold_on(&mut fold, &[record]);
        sizes.push(fold.window().bytes());
    }
    let full = fold.window().bytes();
    assert!(sizes.is_sorted() && full > 20_000 * 100, "{full}");
    for n in 0..1_000u64 {
        let at = START_MS + 20_000 + WINDOW_MS + n;
        fold_on(&mut fold, &[message(at, Some(&n.to_string()), "hi")]);
        assert!(fold.window().bytes() <= full);
    }
    let left = fold.window().bytes();
    assert!(left < full / 3, "{left} of {full} with 1,000 of 20,000");
    fold_on(&mut fold, &[message(START_MS + 9 * WINDOW_MS, None, "hi")]);
    assert!(fold.window().bytes() < 64 * 1024);
}

#[test]
fn a_window_tells_when_a_record_would_let_go_of_something() {
    let mut fold = Fold::new(PARTITION, Id::ZERO, KeyHasher::default());
    assert!(!fold.window().lets_go_at(u64::MAX));
    fold_on(&mut fold, &[message(START_MS, None, "hi")]);
    assert!(!fold.window().lets_go_at(START_MS + WINDOW_MS));
    assert!(fold.window().lets_go_at(START_MS + WINDOW_MS + 1));
}

#[test]
fn late_and_unreadable_records_take_no_memory() {
    let mut fold = Fold::new(PARTITION, Id::ZERO, KeyHasher::default());
    let empty = Window::new(KeyHasher::default()).bytes();
    for n in 0..5_000u64 {
        let late = entry(START_MS, 3_600_000, Some(&n.to_string()), Body::Archive);
        fold.next(START_MS, late.record.as_ref());
        fold.next(START_MS, None);
    }
    assert_eq!(fold.window().bytes(), empty);
}

fn agrees_with_the_model(log: &[Entry]) -> Result<(), TestCaseError> {
    let mut model = Model::new(PARTITION);
    let mut last = Id::ZERO;
    for (i, (e, folded)) in log.iter().zip(fold_all(log)).enumerate() {
        prop_assert_eq!(
            folded,
            model.next(e.append_ms, e.record.as_ref()),
            "record {}",
            i
        );
        prop_assert!(last < folded.0, "record {}: {} after {}", i, folded.0, last);
        prop_assert_eq!(folded.0.partition(), PARTITION);
        last = folded.0;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn random_logs_fold_as_the_plain_model_says(log in logs::logs(1..120)) {
        agrees_with_the_model(&log)?;
    }

    /// Two records of one key are accepted only if the log's clock passed a whole window after the
    /// first one, and after every other record of the key between them that was not late.
    #[test]
    fn nothing_is_accepted_twice_within_a_window(log in logs::logs(1..120)) {
        let folded = fold_all(&log);
        let key = |i: usize| log[i].record.as_ref().and_then(|r| {
            Some((&r.channel, &r.sender, r.client_msg_id.as_ref()?))
        });
        let in_time = |i: &usize| !folded[*i].1.is_late();
        for second in (0..log.len()).filter(|i| folded[*i].1 == Verdict::Accepted) {
            let same = |i: &usize| key(second).is_some() && key(*i) == key(second);
            for first in (0..second).filter(in_time).filter(same) {
                let since = (first..=second).filter(in_time).map(|i| log[i].append_ms).max();
                let passed = since.unwrap().saturating_sub(log[first].append_ms);
                prop_assert!(passed > WINDOW_MS, "{} and {}: {} ms", first, second, passed);
            }
        }
    }

    /// Removing the late and unreadable records from a log doesn't change the other verdicts.
    #[test]
    fn late_records_change_no_verdict_and_move_no_clock(log in logs::logs(1..120)) {
        let folded = fold_all(&log);
        for (before, this) in folded.iter().zip(&folded[1..]).filter(|(_, this)| this.1.is_late()) {
            prop_assert_eq!(this.0.ms(), before.0.ms());
        }
        let in_time: Vec<_> = (0..log.len()).filter(|i| !folded[*i].1.is_late()).collect();
        let without = fold_all(&in_time.iter().map(|i| log[*i].clone()).collect::<Vec<_>>());
        let names = |v: Verdict, place: &dyn Fn(Id) -> Option<usize>| match v {
            Verdict::Repeat(id) | Verdict::Conflict(id) => (v.as_str(), place(id)),
            _ => (v.as_str(), None),
        };
        for (i, (id, verdict)) in in_time.iter().zip(&without) {
            let there = |id| without.iter().position(|f| f.0 == id).map(|n| in_time[n]);
            let here = |id| folded.iter().position(|f| f.0 == id);
            prop_assert_eq!(names(folded[*i].1, &here), names(*verdict, &there));
            prop_assert_eq!(id.ms(), folded[*i].0.ms());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn bursts_over_a_full_millisecond_fold_as_the_plain_model_says(log in logs::bursting_logs()) {
        agrees_with_the_model(&log)?;
    }
}
