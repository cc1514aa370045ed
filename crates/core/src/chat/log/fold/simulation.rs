//! Simulates several servers over one log, with every known fault between a send and its ack:
//!
//! - Servers are paused in the middle of a send, for seconds or hours.
//! - Servers are killed and restarted from some mark.
//! - The clocks of servers and of the log are skewed, and they step.
//! - Records are lost or delayed on their way to the log.
//! - Clients time out and retry through any server. Hostile clients send duplicates on purpose.
//!
//! A history depends on its seed alone. `TEST_SIM_HISTORIES` sets how many histories run.

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
        // Prints the seed if an assertion fails.
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

/// The id of every ack belongs to an accepted record with the content of the send.
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

/// Compares the sends whose first try and whose ack are in the same session. A send that is refused
/// or whose outcome is unknown ends the session. If it is retried later, its place in the log is
/// that of the retry.
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
