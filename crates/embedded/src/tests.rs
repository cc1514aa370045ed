//! Failures that only a test inside the crate can cause: a full disk, a foreign lock, a broken disk.

mod files;
mod sessions;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, ffi, params};
use tempfile::TempDir;

use super::fault::Fault;
use super::{Embedded, EmbeddedSettings};
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{LogReader, LogRecord, Offset, OutgoingRecord, PublishFailure};
use lakechat_core::ports::history::Mark;

const DEADLINE: Duration = Duration::from_secs(20);

struct Opened {
    embedded: Embedded,
    folder: TempDir,
    failed: mpsc::Receiver<PublishFailure>,
}

/// With a warm-up of 21 minutes.
fn trimming() -> EmbeddedSettings {
    EmbeddedSettings {
        warm_up: Duration::from_secs(21 * 60),
        ..EmbeddedSettings::default()
    }
}

fn open(settings: EmbeddedSettings) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(folder.path(), settings).unwrap();
    let (tell, failed) = mpsc::channel();
    embedded
        .broker()
        .on_publish_failure(std::sync::Arc::new(move |f| tell.send(f).unwrap()));
    Opened {
        embedded,
        folder,
        failed,
    }
}

impl Opened {
    fn publish(&self, partition: u16, ticket: u64, bytes: usize) -> Result<(), PortError> {
        self.embedded.broker().publish(OutgoingRecord {
            partition: Partition(partition),
            key: "ops".into(),
            value: vec![b'x'; bytes].into(),
            ticket,
        })
    }

    fn reader(&self) -> Box<dyn LogReader> {
        let all: Vec<_> = (0..16).map(|p| (Partition(p), 0)).collect();
        self.embedded.broker().reader(&all).unwrap()
    }

    /// A connection of another program, such as the `sqlite3` shell.
    fn shell(&self) -> Connection {
        Connection::open(self.folder.path().join(super::DATABASE)).unwrap()
    }

    /// Runs SQL on the writer's connection.
    async fn write(&self, sql: &'static str) {
        let run = self
            .embedded
            .engine
            .write("test", move |db| db.execute_batch(sql));
        run.await.unwrap();
    }
}

fn read(reader: &mut dyn LogReader, count: usize) -> Vec<LogRecord> {
    let (mut records, until) = (Vec::new(), Instant::now() + DEADLINE);
    while records.len() < count {
        assert!(Instant::now() < until, "{} of {count}", records.len());
        let step = Duration::from_millis(50);
        reader.poll(step, &mut records).unwrap();
    }
    records
}

fn offsets(records: &[LogRecord]) -> Vec<Offset> {
    records.iter().map(|r| r.offset).collect()
}

fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, PortError>) {
    assert!(
        matches!(result, Err(PortError::Unavailable { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn full_disk_refuses_sends_and_reads_still_work() {
    let o = open(EmbeddedSettings::default());
    o.publish(0, 1, 100).unwrap();
    let mut reader = o.reader();
    read(&mut *reader, 1);
    o.write("PRAGMA max_page_count = 1").await; // No page more than it has.
    o.publish(0, 2, 1 << 20).unwrap();
    let failed = o.failed.recv_timeout(DEADLINE).unwrap();
    assert_eq!((failed.ticket, failed.refused), (2, true));
    let rows = vec![lakechat_core::domain::HistoryRow {
        channel: lakechat_core::domain::ChannelName::general(),
        private: false,
        cells: lakechat_core::domain::Cells::Topic {
            id: lakechat_core::domain::Id::MAX,
            topic: "t".repeat(1 << 20),
        },
    }];
    assert_unavailable(o.embedded.history().append(rows).await);
    assert_eq!(read(&mut *o.reader(), 1).len(), 1, "reads still work");
    let ends = o.embedded.broker().end_offsets().await.unwrap();
    assert_eq!(ends.all().unwrap()[0], 1);

    o.write("PRAGMA max_page_count = 100000").await;
    o.publish(0, 3, 100).unwrap();
    assert_eq!(offsets(&read(&mut *reader, 1)), [1]);
    assert!(
        o.failed.try_recv().is_err(),
        "each failure is reported once"
    );
}

#[tokio::test]
async fn writer_waits_for_another_programs_lock() {
    let o = open(EmbeddedSettings::default());
    let shell = o.shell();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    o.publish(0, 1, 10).unwrap();
    let mut reader = o.reader();
    let mut none = Vec::new();
    reader.poll(Duration::from_millis(100), &mut none).unwrap();
    assert!(none.is_empty());
    shell.execute_batch("COMMIT").unwrap();
    assert_eq!(read(&mut *reader, 1).len(), 1);
    assert!(o.failed.try_recv().is_err());
}

#[tokio::test]
async fn lock_held_too_long_fails_queued_work_and_later_work_succeeds() {
    let o = open(EmbeddedSettings {
        busy_timeout: Duration::from_millis(100),
        ..EmbeddedSettings::default()
    });
    let shell = o.shell();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    for ticket in 0..10 {
        o.publish(0, ticket, 10).unwrap();
    }
    for ticket in 0..10 {
        let failed = o.failed.recv_timeout(DEADLINE).unwrap();
        assert_eq!((failed.ticket, failed.refused), (ticket, true));
    }
    let mark = Mark::default();
    assert_unavailable(o.embedded.history().advance_mark(Partition(0), mark).await);
    assert!(
        o.embedded.history().marks().await.is_ok(),
        "reads still work"
    );
    shell.execute_batch("COMMIT").unwrap();
    o.publish(0, 10, 10).unwrap();
    assert_eq!(offsets(&read(&mut *o.reader(), 1)), [0]);
}

#[tokio::test]
async fn full_queue_refuses_at_once() {
    let o = open(EmbeddedSettings {
        queue_bytes: 10_000,
        ..EmbeddedSettings::default()
    });
    let shell = o.shell();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The writer takes some records and waits for the lock; later ones fill the queue.
    let mut taken = 0;
    let refused = loop {
        match o.publish(0, taken as u64, 1_000) {
            Ok(()) => taken += 1,
            refused => break refused,
        }
        assert!(taken < 100, "no record is refused");
    };
    assert_unavailable(refused);
    assert!(taken >= 9, "{taken}");
    shell.execute_batch("COMMIT").unwrap();
    assert_eq!(read(&mut *o.reader(), taken).len(), taken);
}

#[tokio::test]
async fn failing_job_rolls_back_alone() {
    let o = open(EmbeddedSettings::default());
    let shell = o.shell();
    // Everything becomes one transaction, as the writer is waiting for the lock.
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let engine = &o.embedded.engine;
    o.publish(0, 1, 10).unwrap();
    let twice = "INSERT INTO marks VALUES (3, 1, 1, 1); INSERT INTO marks VALUES (3, 1, 1, 1)";
    let fails = engine.queue.send(move |db| db.execute_batch(twice)).await;
    let goes = engine
        .queue
        .send(|db| db.execute_batch("INSERT INTO marks VALUES (4, 1, 1, 1)"));
    let goes = goes.await;
    shell.execute_batch("COMMIT").unwrap();
    assert!(fails.wait().await.is_err());
    goes.wait().await.unwrap();
    assert_eq!(read(&mut *o.reader(), 1).len(), 1);
    let marks = o.embedded.history().marks().await.unwrap();
    assert_eq!((marks[3].offset, marks[4].offset), (0, 1));
}

#[tokio::test]
async fn job_that_panics_rolls_back_alone_and_the_next_one_runs() {
    let o = open(EmbeddedSettings::default());
    let queue = &o.embedded.engine.queue;
    let panics = queue.send(|db| -> rusqlite::Result<()> {
        db.execute_batch("INSERT INTO marks VALUES (3, 1, 1, 1)")?;
        panic!("as a bug would");
    });
    let failed = panics.await.wait().await;
    assert!(matches!(failed, Err(Fault::Broken(_))), "{failed:?}");
    let goes = queue.send(|db| db.execute_batch("INSERT INTO marks VALUES (4, 1, 1, 1)"));
    goes.await.wait().await.unwrap();
    let marks = o.embedded.history().marks().await.unwrap();
    assert_eq!((marks[3].offset, marks[4].offset), (0, 1));
}

#[tokio::test]
async fn writer_that_panics_answers_all_and_ends_everything() {
    let folder = tempfile::tempdir().unwrap();
    let settings = EmbeddedSettings {
        busy_timeout: Duration::from_millis(50),
        ..EmbeddedSettings::default()
    };
    let embedded = Embedded::open(folder.path(), settings).unwrap();
    let broker = embedded.broker();
    broker.on_publish_failure(std::sync::Arc::new(|_| panic!("as a bug would")));
    let shell = Connection::open(folder.path().join(super::DATABASE)).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    broker
        .publish(OutgoingRecord {
            partition: Partition(0),
            key: "a".into(),
            value: "b".into(),
            ticket: 1,
        })
        .unwrap();
    // Queued while the writer waits for the lock, or refused after its end: answered in any case.
    let history = embedded.history();
    let waits = history.advance_mark(Partition(0), Mark::default());
    let answered = tokio::time::timeout(DEADLINE, waits).await.unwrap();
    assert!(answered.is_err());
    let ended = tokio::time::timeout(DEADLINE, embedded.failed());
    assert!(ended.await.unwrap().contains("panicked"));
    let later = history.advance_mark(Partition(0), Mark::default());
    let answered = tokio::time::timeout(DEADLINE, later).await.unwrap();
    assert!(answered.is_err());
}

#[tokio::test]
async fn broken_disk_is_reported_and_ends_everything() {
    let o = open(EmbeddedSettings::default());
    o.publish(0, 1, 10).unwrap();
    let mut reader = o.reader();
    read(&mut *reader, 1);
    let shell = o.shell();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let fails = o.embedded.engine.queue.send(|_| -> rusqlite::Result<()> {
        let error = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
        assert_eq!(error.code, ErrorCode::SystemIoFailure);
        Err(rusqlite::Error::SqliteFailure(error, None))
    });
    let fails = fails.await;
    o.publish(0, 2, 10).unwrap();
    shell.execute_batch("COMMIT").unwrap();
    assert!(fails.wait().await.is_err());
    tokio::time::timeout(DEADLINE, o.embedded.failed())
        .await
        .unwrap();
    let broken = |result| assert!(matches!(result, Err(PortError::Broken { .. })));
    broken(o.publish(0, 3, 10));
    broken(reader.poll(DEADLINE, &mut Vec::new()));
    broken(o.embedded.broker().end_offsets().await.map(drop));
    broken(o.embedded.history().marks().await.map(drop));
    if let Ok(failed) = o.failed.recv_timeout(DEADLINE) {
        assert_eq!(
            (failed.ticket, failed.refused),
            (2, false),
            "the outcome is unknown"
        );
    }
}

#[tokio::test]
async fn closed_folder_assert_unavailable() {
    let Opened {
        embedded, folder, ..
    } = open(EmbeddedSettings::default());
    let (broker, history) = (embedded.broker(), embedded.history());
    let mut reader = broker.reader(&[(Partition(0), 0)]).unwrap();
    drop(embedded);
    let record = OutgoingRecord {
        partition: Partition(0),
        key: "ops".into(),
        value: "{}".into(),
        ticket: 0,
    };
    assert_unavailable(broker.publish(record));
    assert_unavailable(history.advance_mark(Partition(0), Mark::default()).await);
    assert_unavailable(reader.poll(DEADLINE, &mut Vec::new()));
    Embedded::open(folder.path(), EmbeddedSettings::default()).unwrap();
}

/// Records of an hour ago, of ten minutes ago and of this moment, one in each of three partitions.
async fn three_ages(o: &Opened) -> Vec<LogRecord> {
    for round in 0..3 {
        for partition in 0..3 {
            o.publish(partition, round, 10).unwrap();
        }
    }
    let records = read(&mut *o.reader(), 9);
    o.write("UPDATE log SET append_ms = append_ms - 3600000 WHERE offset < 3")
        .await;
    o.write("UPDATE log SET append_ms = append_ms - 600000 WHERE offset BETWEEN 3 AND 5")
        .await;
    records
}

async fn mark(o: &Opened, partition: u16, offset: Offset, time_ms: u64) {
    let mark = Mark {
        offset,
        time_ms,
        ..Mark::default()
    };
    let history = o.embedded.history();
    history
        .advance_mark(Partition(partition), mark)
        .await
        .unwrap();
}

fn kept(o: &Opened) -> Vec<Offset> {
    let shell = o.shell();
    let mut select = shell
        .prepare("SELECT offset FROM log ORDER BY offset")
        .unwrap();
    let rows = select
        .query_map(params![], |row| row.get::<_, i64>(0))
        .unwrap();
    rows.map(|n| n.unwrap() as u64).collect()
}

#[tokio::test]
async fn log_is_trimmed_below_where_a_warm_up_would_begin() {
    let o = open(trimming());
    let now = three_ages(&o).await[8].append_ms;
    assert_eq!(
        o.embedded.trim().await.unwrap(),
        0,
        "without a mark nothing is trimmed"
    );
    // Partition 0 is archived up to this moment, 1 up to an hour ago, 2 not at all.
    mark(&o, 0, 7, now).await;
    mark(&o, 1, 2, now - 3_600_000).await;
    assert_eq!(o.embedded.trim().await.unwrap(), 1);
    assert_eq!(kept(&o), [1, 2, 3, 4, 5, 6, 7, 8]);
    let starts = o.embedded.broker().start_offsets().await.unwrap();
    let starts = starts.all().unwrap();
    assert!((1..=3).contains(&starts[0]), "{starts:?}");
    assert_eq!((starts[1], starts[2]), (0, 0));
    assert_eq!(
        o.embedded.trim().await.unwrap(),
        0,
        "nothing is left to trim"
    );
}

#[tokio::test]
async fn the_log_is_kept_for_as_long_as_a_warm_up_needs() {
    for (minutes, first_kept) in [(5, 6), (21, 3), (90, 0)] {
        let o = open(EmbeddedSettings {
            warm_up: Duration::from_secs(minutes * 60),
            ..EmbeddedSettings::default()
        });
        let now = three_ages(&o).await[8].append_ms;
        for partition in 0..3 {
            mark(&o, partition, 7, now).await;
        }
        o.embedded.trim().await.unwrap();
        assert_eq!(kept(&o), (first_kept..=8).collect::<Vec<_>>(), "{minutes}");
    }
}

#[tokio::test]
async fn nothing_at_or_above_a_mark_is_trimmed() {
    let o = open(trimming());
    let now = three_ages(&o).await[8].append_ms;
    for partition in 0..3 {
        mark(&o, partition, 4, now + 86_400_000).await;
    }
    assert_eq!(o.embedded.trim().await.unwrap(), 4);
    assert_eq!(kept(&o), [4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn long_log_is_trimmed_in_small_transactions() {
    let o = open(trimming());
    for n in 0..5_500 {
        o.publish((n % 16) as u16, n, 10).unwrap();
    }
    read(&mut *o.reader(), 5_500);
    let later = o.embedded.broker().now_ms() + 86_400_000;
    for partition in 0..16 {
        mark(&o, partition, 5_000, later).await;
    }
    // Stopped after two transactions, the log is complete from its start offsets on.
    let engine = std::sync::Arc::clone(&o.embedded.engine);
    let first = tokio::task::spawn_blocking(move || {
        let steps = std::cell::Cell::new(0);
        let two = || steps.replace(steps.get() + 1) < 2;
        super::maintenance::retention::trim(&engine, two)
    });
    assert_eq!(first.await.unwrap().unwrap(), 2_000);
    assert_eq!(kept(&o).len(), 3_500);
    let starts = o.embedded.broker().start_offsets().await.unwrap();
    let starts = starts.all().unwrap();
    assert_eq!(starts, [2_000; 16]);
    assert_eq!(o.embedded.trim().await.unwrap(), 3_000);
    assert_eq!(kept(&o)[0], 5_000);
}
