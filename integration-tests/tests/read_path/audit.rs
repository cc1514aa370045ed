//! An audit over random talks: in batches of any size it finds nothing in what an archiver stored, and
//! everything that it didn't.

use integration_tests::eventually;
use lakechat_core::chat::log::record::Body;
use lakechat_core::chat::{AuditOptions, AuditReport, LogOrigin, audit};
use lakechat_core::domain::{ChannelName, Id, Message, Partition, UserName};
use lakechat_core::ports::history::{Mark, MessageRange};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::marks::{SHAPE, channels};
use crate::server::Server;
use crate::under_seeds;

const BATCHES: [usize; 4] = [1, 2, 7, 1_000];

fn message(text: String) -> Body {
    Body::Message {
        text,
        reply_to: None,
        file: None,
    }
}

/// A change of a message that was said before.
fn change(random: &mut StdRng, target: Id, n: usize) -> Body {
    match random.random_range(0..4) {
        0 => Body::Edit {
            target,
            text: format!("edit {n}"),
        },
        1 => Body::Delete { target },
        _ => Body::React {
            target,
            emoji: ["👍", "👎"][random.random_range(0..2)].to_owned(),
            on: random.random(),
            before: None,
        },
    }
}

/// Says something in both channels, and changes any of it. Returns when all of it is folded.
async fn talk(server: &Server, channels: &[ChannelName; 2], random: &mut StdRng, count: usize) {
    let users = ["ann", "bob"].map(|name| UserName::parse(name).expect("a plain name"));
    for n in 0..count {
        let channel = &channels[random.random_range(0..2)];
        let said = ids(server, channel);
        let body = match said.is_empty() || random.random_range(0..3) == 0 {
            true => message(format!("text {n}")),
            false => {
                let target = said[random.random_range(0..said.len())];
                change(random, target, n)
            }
        };
        let user = &users[random.random_range(0..2)];
        server.publish(channel, user, None, body, 0);
        if random.random_range(0..4) == 0 {
            server.settle().await;
        }
    }
    server.settle().await;
}

/// The messages of a channel in the tail.
fn ids(server: &Server, channel: &ChannelName) -> Vec<Id> {
    let state = server.log.lock(server.log.partition_of(channel));
    let entries = state.tail.within(channel, Id::ZERO, Id::MAX);
    entries.filter(|e| e.is_message()).map(|e| e.id).collect()
}

/// The mark that an archiver would write for all that was folded.
fn end(server: &Server, partition: Partition) -> Mark {
    let state = server.log.lock(partition);
    let last = state.tail.last_below(u64::MAX).expect("something was said");
    Mark {
        offset: last.offset + 1,
        id: last.id,
        time_ms: last.append_ms,
    }
}

async fn audited(server: &Server, batch_rows: usize, repair: bool) -> AuditReport {
    let origin = LogOrigin {
        begin: 0,
        id: Some(Id::ZERO),
    };
    let options = AuditOptions {
        origins: vec![origin; 2],
        batch_rows,
        repair,
        ..AuditOptions::default()
    };
    let (broker, history) = (server.broker.clone(), server.history.inner.clone());
    let report = audit(broker, history.as_ref(), &options, &|_| {}).await;
    report.expect("the back ends are there")
}

async fn rows(server: &Server, channels: &[ChannelName; 2]) -> Vec<Message> {
    let mut rows = Vec::new();
    for channel in channels {
        let (after, before) = (Id::ZERO, Id::MAX);
        let range = MessageRange::Oldest { after, before };
        let read = server.history.inner.messages(channel, range, 10_000).await;
        rows.extend(read.expect("readable"));
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_finds_nothing_in_what_was_archived_whatever_its_batches() {
    under_seeds(5, async |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), &SHAPE).await;
        let channels = channels(&server);
        talk(&server, &channels, &mut random, 60).await;
        eventually("all is archived", async || {
            let is_archived = |channel| {
                let partition = server.log.partition_of(channel);
                server.log.mark(partition).id == server.log.lock(partition).last_id()
            };
            channels.iter().all(is_archived).then_some(())
        })
        .await;
        for batch_rows in BATCHES {
            let report = audited(&server, batch_rows, false).await;
            assert_eq!(report.findings.first(), None, "batches of {batch_rows}");
            assert_eq!(report.records, 60);
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_an_archiver_lost_are_missing_and_repaired_with_their_later_changes() {
    under_seeds(5, async |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), &SHAPE).await;
        let channels = channels(&server);
        channels.iter().for_each(|channel| {
            let ann = UserName::parse("ann").expect("a plain name");
            server.publish(channel, &ann, None, message("first".to_owned()), 0);
        });
        server.settle().await;
        eventually("the first ones are archived", async || {
            (rows(&server, &channels).await.len() == 2).then_some(())
        })
        .await;
        server.history.set_open(false);
        talk(&server, &channels, &mut random, 60).await;
        let said: usize = channels.iter().map(|c| ids(&server, c).len()).sum();
        for partition in [Partition(0), Partition(1)] {
            let moved = server
                .history
                .inner
                .advance_mark(partition, end(&server, partition));
            moved.await.expect("written");
        }

        let found = audited(&server, BATCHES[random.random_range(0..4)], false).await;
        let kinds: Vec<_> = found.findings.by_kind().map(|(kind, ..)| kind).collect();
        assert!(kinds.iter().all(|kind| kind.is_missing_row()), "{kinds:?}");
        assert!(!kinds.is_empty() && rows(&server, &channels).await.len() == 2);
        let repaired = audited(&server, BATCHES[random.random_range(0..4)], true).await;
        assert_eq!((repaired.unrepaired, repaired.unjudged), (0, 0));
        let after = rows(&server, &channels).await;
        assert_eq!(after.len(), said);
        for batch_rows in BATCHES {
            let report = audited(&server, batch_rows, false).await;
            assert_eq!(report.findings.first(), None, "batches of {batch_rows}");
        }
        // What the archiver writes over it changes nothing.
        server.history.set_open(true);
        eventually("the archiver has stored it, too", async || {
            (server.history.rows() > said).then_some(())
        })
        .await;
        assert_eq!(rows(&server, &channels).await, after);
        server.stop().await;
    })
    .await;
}
