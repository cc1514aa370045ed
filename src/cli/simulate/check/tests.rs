//! Ann (1), Bob (2) and Eve (3) in channel 1. Ids are small numbers here.

use super::*;

fn id(n: u64) -> Id {
    Id::from_u64(n).unwrap()
}

fn sent(sender: u32, seq: u32) -> Sent {
    Sent {
        channel: 1,
        sender,
        seq,
    }
}

struct Rig(ChannelCheck);

impl Rig {
    /// All three have joined at 10.
    fn new() -> Rig {
        let mut check = ChannelCheck::new(1);
        (1..=3).for_each(|person| check.joined(person, id(10)));
        Rig(check)
    }

    /// A message of Ann's is sent and acked.
    fn acked(&mut self, seq: u32, at: u64) {
        self.0.sending(sent(1, seq), Duration::from_secs(1));
        let due = self.0.acked(sent(1, seq), id(at));
        assert_eq!(due, Some(Duration::from_secs(1)));
    }

    /// A message of Ann's arrives at some people.
    fn received(&mut self, people: &[u32], seq: u32, at: u64) {
        for person in people {
            self.0.received(*person, id(at), Ok(sent(1, seq)));
        }
    }

    /// The faults after the end: kind, number and id of Ann's message, and who saw or missed it.
    fn faults(mut self) -> Vec<(FaultKind, Option<u32>, Option<u64>, u32)> {
        self.0.finish();
        let faults = self.0.faults.kept().iter();
        let faults: Vec<_> = faults
            .map(|f| {
                let id = f.id.map(Id::as_u64);
                (f.kind, f.sent.map(|sent| sent.seq), id, f.person)
            })
            .collect();
        let counted: u64 = self.0.faults.counts().values().sum();
        assert_eq!(counted, faults.len() as u64);
        faults
    }
}

const ALL: &[u32] = &[1, 2, 3];

#[test]
fn nothing_is_wrong_if_all_arrive_once_in_any_interleaving_of_people() {
    let mut rig = Rig::new();
    rig.received(&[2], 0, 11);
    rig.received(&[2], 1, 12);
    rig.acked(1, 12);
    assert!(!rig.0.is_settled());
    rig.acked(0, 11);
    rig.received(&[1, 3], 0, 11);
    rig.received(&[1, 3], 1, 12);
    assert!(rig.0.is_settled());
    assert_eq!(rig.faults(), []);
}

#[test]
fn message_that_one_person_does_not_get_is_lost() {
    let mut rig = Rig::new();
    rig.acked(0, 11);
    rig.received(&[1, 2], 0, 11);
    rig.acked(1, 12);
    rig.received(ALL, 1, 12);
    assert_eq!(rig.faults(), [(FaultKind::Lost, Some(0), Some(11), 3)]);
}

#[test]
fn acked_message_that_nobody_gets_is_lost_to_all_also_if_its_ack_comes_last() {
    let mut rig = Rig::new();
    rig.received(ALL, 1, 12);
    rig.acked(1, 12);
    rig.acked(0, 11);
    let lost = |person| (FaultKind::Lost, Some(0), Some(11), person);
    assert_eq!(rig.faults(), [lost(1), lost(2), lost(3)]);
}

#[test]
fn last_message_is_lost_if_it_has_not_come_by_the_end() {
    let mut rig = Rig::new();
    rig.acked(0, 11);
    rig.received(&[1, 3], 0, 11);
    assert!(!rig.0.is_settled());
    assert_eq!(rig.faults(), [(FaultKind::Lost, Some(0), Some(11), 2)]);
}

#[test]
fn message_that_comes_twice_is_doubled() {
    let mut rig = Rig::new();
    rig.acked(0, 11);
    rig.received(ALL, 0, 11);
    rig.acked(1, 12);
    rig.received(ALL, 1, 12);
    rig.received(&[2], 0, 11);
    assert_eq!(rig.faults(), [(FaultKind::Doubled, Some(0), Some(11), 2)]);
}

#[test]
fn message_that_is_stored_twice_is_doubled() {
    let mut rig = Rig::new();
    rig.acked(0, 11);
    rig.received(ALL, 0, 11);
    rig.received(ALL, 0, 12);
    let rig_faults = {
        let detail = rig.0.faults.kept()[0].detail.clone();
        assert!(
            detail.ends_with("its id was 00000000000000000011 before"),
            "{detail}"
        );
        rig.faults()
    };
    assert_eq!(rig_faults, [(FaultKind::Doubled, Some(0), Some(12), 1)]);
}

#[test]
fn ack_under_another_id_than_the_message_is_doubled() {
    let mut rig = Rig::new();
    rig.received(ALL, 0, 11);
    rig.acked(0, 12);
    rig.received(ALL, 1, 13);
    let faults = rig.faults();
    assert_eq!(faults[0], (FaultKind::Doubled, Some(0), Some(12), 1));
    assert_eq!(faults[1], (FaultKind::Lost, Some(0), Some(12), 1));
}

#[test]
fn swapped_messages_are_out_of_order_for_the_one_who_got_them_so() {
    for acks_come_first in [true, false] {
        let mut rig = Rig::new();
        if acks_come_first {
            rig.acked(0, 11);
            rig.acked(1, 12);
        }
        rig.received(&[3], 1, 12);
        rig.received(&[3], 0, 11);
        for person in [1, 2] {
            rig.received(&[person], 0, 11);
            rig.received(&[person], 1, 12);
        }
        let expected = [(FaultKind::OutOfOrder, Some(0), Some(11), 3)];
        assert_eq!(rig.faults(), expected, "{acks_come_first}");
    }
}

#[test]
fn two_messages_under_one_id_are_no_order_for_all() {
    let mut rig = Rig::new();
    rig.received(&[1, 2], 0, 11);
    rig.received(&[3], 1, 11);
    assert_eq!(rig.faults(), [(FaultKind::Mixed, Some(1), Some(11), 3)]);
}

#[test]
fn wrong_text_and_foreign_messages_are_named() {
    let mut rig = Rig::new();
    rig.received(&[1, 2], 0, 11);
    let altered = Err(Unexpected::Altered(sent(1, 0)));
    rig.0.received(3, id(11), altered);
    let foreign = Err(Unexpected::Foreign("\"x\" by eve".to_owned()));
    rig.0.received(3, id(12), foreign);
    let expected = [
        (FaultKind::Altered, Some(0), Some(11), 3),
        (FaultKind::Foreign, None, Some(12), 3),
    ];
    assert_eq!(rig.faults(), expected);
}

#[test]
fn post_without_an_answer_and_one_refused_are_faults() {
    let mut rig = Rig::new();
    rig.0.sending(sent(1, 0), Duration::ZERO);
    rig.0.sending(sent(1, 1), Duration::ZERO);
    rig.0.refused(sent(1, 1), "message_too_large");
    assert!(!rig.0.is_settled());
    let expected = [
        (FaultKind::Refused, Some(1), None, 1),
        (FaultKind::Unanswered, Some(0), None, 1),
    ];
    assert_eq!(rig.faults(), expected);
}

#[test]
fn person_needs_only_what_comes_between_join_and_leave() {
    let mut rig = Rig::new();
    rig.received(ALL, 0, 11);
    rig.0.left(3);
    rig.received(&[1, 2], 1, 12);
    rig.0.joined(3, id(13));
    rig.received(ALL, 2, 14);
    // A resume continues at the cursor.
    rig.0.joined(3, id(20));
    assert_eq!(rig.0.cursor(3), Some(id(14)));
    assert_eq!(rig.faults(), []);

    let mut rig = Rig::new();
    rig.received(&[3], 0, 9);
    let expected = [(FaultKind::OutOfOrder, Some(0), Some(9), 3)];
    assert_eq!(rig.faults()[..], expected, "before the join");
}

#[test]
fn whoever_is_further_behind_than_the_window_is_not_checked_which_is_a_fault() {
    let mut rig = Rig::new();
    rig.0.window = Window::new(2);
    for seq in 0..4 {
        rig.received(&[1, 2], seq, 11 + u64::from(seq));
    }
    rig.received(&[3], 2, 13);
    rig.received(&[3], 3, 14);
    let faults = rig.faults();
    assert_eq!(faults, [(FaultKind::Unchecked, None, Some(13), 3)]);
}
