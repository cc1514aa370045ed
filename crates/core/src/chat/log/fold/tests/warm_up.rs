//! Tests of readers that start in the middle of a log.

use proptest::prelude::*;

use super::logs::{
    self, Entry, Folded, Mark, PARTITION, START_MS, entry, fold_all, fold_on, message, warmed_up,
    warmed_up_from,
};
use crate::chat::log::fold::{Fold, KeyHasher, Verdict, WARM_UP_MS, WINDOW_MS};
use crate::chat::log::record::Body;
use crate::domain::{Id, id};

const MINUTE: u64 = 60_000;

fn goes_on_alike(
    mut started: Fold,
    mark: &Mark,
    log: &[Entry],
    folded: &Folded,
) -> Result<(), TestCaseError> {
    if mark.offset > 0 {
        prop_assert_eq!(
            started.last_id(),
            mark.last,
            "the mark's assertion, {:?}",
            mark
        );
    }
    let rest = fold_on(&mut started, &log[mark.offset..]);
    for (i, (ours, theirs)) in rest.iter().zip(&folded[mark.offset..]).enumerate() {
        prop_assert_eq!(ours, theirs, "record {} from {:?}", mark.offset + i, mark);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_start_decides_as_those_who_read_all_along(log in logs::logs(1..120)) {
        let folded = fold_all(&log);
        for offset in 0..=log.len() {
            let mark = Mark::at(offset, &log, &folded);
            // Retention may delete records below the start of the warm-up. It changes nothing.
            goes_on_alike(warmed_up(&log, 0, &mark), &mark, &log, &folded)?;
        }
    }

    /// The log keeps nothing below the mark, and the deleted records are older than any window.
    #[test]
    fn a_start_at_the_kept_start_goes_on_from_the_marks_id(
        (log, silence) in logs::logs_with_a_silence()
    ) {
        let folded = fold_all(&log);
        let mark = Mark::at(silence, &log, &folded);
        goes_on_alike(warmed_up(&log, silence, &mark), &mark, &log, &folded)?;
    }

    /// If the log begins above the start of the warm-up, its records may not set the clock. Then
    /// the fold mints the mark's id only if it begins as many ids below it as it reads records.
    #[test]
    fn a_start_just_below_the_mark_goes_on_from_the_marks_id_stepped_back(
        (log, silence) in logs::logs_with_a_silence()
    ) {
        let folded = fold_all(&log);
        let mark = Mark::at(silence, &log, &folded);
        for kept in mark.warm_up_from(&log, 0)..silence {
            let mut started = warmed_up(&log, kept, &mark);
            if started.last_id() != mark.last {
                let last = mark.last.stepped_back((mark.offset - kept) as u64);
                started = warmed_up_from(&log, kept, last, &mark);
            }
            goes_on_alike(started, &mark, &log, &folded)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(15))]

    #[test]
    fn every_start_in_and_after_a_burst_decides_alike(log in logs::bursting_logs()) {
        let folded = fold_all(&log);
        // The offsets at which the clock moves or a step overflows, and the offsets just before.
        let turns = |i: usize| i == 0 || folded[i].0.ms() != folded[i - 1].0.ms();
        let near = |i: usize| (i..=(i + 2).min(log.len() - 1)).any(turns);
        let places: Vec<_> = (0..log.len()).filter(|i| near(*i)).collect();
        let every = places.len().div_ceil(12);
        for offset in places.into_iter().step_by(every).chain([log.len()]) {
            let mark = Mark::at(offset, &log, &folded);
            goes_on_alike(warmed_up(&log, 0, &mark), &mark, &log, &folded)?;
        }
    }
}

/// Shows why the tail begins at the mark: below it, a warm-up may give other ids and verdicts.
#[test]
fn below_the_mark_a_warm_up_may_mint_and_judge_otherwise() {
    let late = |ms| entry(ms, 3_600_000, None, Body::Archive);
    let at = |minutes: u64| START_MS + minutes * MINUTE;
    let log = [
        message(at(0), Some("c"), "hi"),
        late(at(2)),
        message(at(2), Some("c"), "hi"),
        message(at(9), Some("d"), "hi"),
        message(at(12), Some("c"), "hi"),
        message(at(23), Some("e"), "hi"),
    ];
    let folded = fold_all(&log);
    let mark = Mark::at(log.len(), &log, &folded);
    let from = mark.warm_up_from(&log, 0);
    assert_eq!(from, 1);
    let mut fold = Fold::new(PARTITION, Id::ZERO, KeyHasher::default());
    let warm = fold_on(&mut fold, &log[from..]);
    assert_eq!(warm[0].0, Id::mint(id::EPOCH_MS, PARTITION, 1));
    assert_eq!(folded[2].1, Verdict::Repeat(folded[0].0));
    assert_eq!(warm[1].1, Verdict::Accepted);
    assert_eq!(folded[4].1, Verdict::Expired);
    assert_eq!(warm[3].1, Verdict::Repeat(warm[1].0));
    assert_eq!(warm.last(), folded.last());
}

/// Shows why a warm-up needs two windows: a verdict at the mark depends on records whose own
/// verdicts depend on the window before them.
#[test]
fn a_warm_up_of_less_than_two_windows_would_judge_otherwise() {
    let at = [(0, "c"), (9, "c"), (18, "d"), (18, "c")];
    let log = at.map(|(minutes, key)| message(START_MS + minutes * MINUTE, Some(key), "hi"));
    let folded = fold_all(&log);
    let mark = Mark::at(3, &log, &folded);
    assert_eq!(folded[3].1, Verdict::Expired);
    let from = log
        .iter()
        .position(|e| e.append_ms + WINDOW_MS >= log[2].append_ms);
    let mut short = warmed_up_from(&log, from.unwrap(), Id::ZERO, &mark);
    let verdict = fold_on(&mut short, &log[3..])[0].1;
    assert_eq!(verdict, Verdict::Repeat(folded[1].0));
}

/// The clock may start ahead of the log's times: after a floor that `log adopt` wrote, or in a log
/// from before 2024. Then no record sets it. Its step follows only from a fold from offset 0, or
/// from the mark's id stepped back.
#[test]
fn a_clock_that_starts_ahead_of_the_log_must_be_stepped_back_from_the_mark() {
    let floor = Id::mint(START_MS + 24 * 60 * MINUTE, PARTITION, 5);
    let log: Vec<_> = (0..60u64)
        .map(|n| message(START_MS + n * MINUTE, Some(&(n / 2).to_string()), "hi"))
        .collect();
    let mut whole = Fold::new(PARTITION, floor, KeyHasher::default());
    let folded = fold_on(&mut whole, &log);
    let mark = Mark::at(59, &log, &folded);
    let from = mark.warm_up_from(&log, 0);
    assert_eq!(log[from].append_ms, log[58].append_ms - WARM_UP_MS);
    for plain in [Id::ZERO, floor] {
        let started = warmed_up_from(&log, from, plain, &mark);
        assert_ne!(started.last_id(), mark.last);
    }
    let last = mark.last.stepped_back((mark.offset - from) as u64);
    let started = warmed_up_from(&log, from, last, &mark);
    goes_on_alike(started, &mark, &log, &folded).expect("alike");
}
