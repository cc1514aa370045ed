//! Several servers over one log, with everything that may go wrong between a client and an ack:
//! servers stopped in mid-send for seconds or hours, killed and started again from some mark, skewed
//! and stepping clocks, a log whose clock steps too, records that are lost or held up on their way,
//! clients that time out and retry through any server, and hostile ones that do so for the sake of it.
//!
//! A history depends on its seed alone. `TEST_SIM_HISTORIES` says how many are run.

mod chance;
mod client;
mod server;
mod world;

use std::collections::HashMap;

use super::Verdict;
use super::tests::logs::{Mark, fold_on, warmed_up};
use world::{Happened, World};

const HISTORIES: u64 = 3_000;

#[test]
fn no_acked_send_is_missing_or_stored_twice_whatever_stops_or_skews() {
    let histories = std::env::var("TEST_SIM_HISTORIES");
    let histories = histories.map_or(HISTORIES, |n| n.parse().expect("a number"));
    let mut happened = Happened::default();
    for seed in 0..histories {
        // A panic names it.
        let _told = SeedOnPanic(seed);
        let world = World::run(seed);
        acked_sends_are_stored_as_acked(&world);
        if !world.is_wild() {
            nothing_is_stored_twice(&world);
        }
        acked_sends_of_a_session_keep_their_order(&world);
        every_start_agrees(&world);
        happened.add(&world.happened);
    }
    println!("{histories} histories: {happened:#?}");
    assert!(
        histories < HISTORIES || happened.everything(),
        "{happened:#?}"
    );
}

struct SeedOnPanic(u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the history of seed {}", self.0);
        }
    }
}

/// An ack's id is that of an accepted record with that content.
fn acked_sends_are_stored_as_acked(world: &World) {
    let accepted = world.log.iter().zip(&world.folded);
    let accepted: HashMap<_, _> = accepted
        .filter(|(_, (_, verdict))| *verdict == Verdict::Accepted)
        .map(|(e, (id, _))| (*id, e.record.as_ref().unwrap()))
        .collect();
    for ack in world.clients.iter().flat_map(|c| &c.acks) {
        let stored = accepted.get(&ack.id).expect("what was acked is stored");
        let send = &world.clients[ack.client].sends[ack.send];
        assert_eq!(stored.client_msg_id.as_ref(), Some(&send.key));
        assert_eq!(stored.body, send.body);
    }
}

fn nothing_is_stored_twice(world: &World) {
    let mut stored = HashMap::new();
    let log = world.log.iter().zip(&world.folded).enumerate();
    for (offset, (e, _)) in log.filter(|(_, (_, f))| f.1 == Verdict::Accepted) {
        let record = e.record.as_ref().unwrap();
        let key = (&record.sender, record.client_msg_id.as_ref().unwrap());
        let before = stored.insert(key, offset);
        assert_eq!(before, None, "{key:?} is stored again at {offset}");
    }
}

/// What was sent first in a session and acked in it. A send that was refused or whose fate was
/// unknown ends the session here: retried later it stands where it was retried.
fn acked_sends_of_a_session_keep_their_order(world: &World) {
    for client in world.clients.iter().filter(|c| !c.hostile) {
        let first = |ack: &&client::Ack| client.sends[ack.send].session == Some(ack.session);
        let mut acks: Vec<_> = client.acks.iter().filter(first).collect();
        acks.sort_by_key(|ack| (ack.session, ack.send));
        for pair in acks.windows(2).filter(|p| p[0].session == p[1].session) {
            assert!(
                pair[0].send == pair[1].send || pair[0].id < pair[1].id,
                "{pair:?}"
            );
        }
    }
}

fn every_start_agrees(world: &World) {
    for part in 0..=4 {
        let offset = world.log.len() * part / 4;
        let mark = Mark::at(offset, &world.log, &world.folded);
        let mut fold = warmed_up(&world.log, 0, &mark);
        let rest = fold_on(&mut fold, &world.log[offset..]);
        assert_eq!(rest, world.folded[offset..], "{mark:?}");
    }
}
