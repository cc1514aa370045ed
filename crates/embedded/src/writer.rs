//! The one thread that writes.
//!
//! Each turn takes all appends that wait and as many jobs as fit the turn's time, runs them as one
//! transaction, commits (one fsync) and then answers. Records are shown to readers only after the
//! commit that covers them.

use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::columns::{Text, int};
use super::engine::Core;
use super::fault::Fault;
use super::queue::Job;
use lakechat_core::ports::broker::{LogRecord, Offset, OutgoingRecord, PublishFailure};

/// After this long in a turn's jobs the turn ends: records that came meanwhile wait no longer.
const TURN: Duration = Duration::from_millis(4);
/// Commits after which the keeper is called to checkpoint.
const CHECKPOINT_EVERY: u32 = 64;

/// The thread's owner; dropping it writes what is queued and ends the thread.
pub(super) struct Writer {
    core: Arc<Core>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(db: Connection, core: Arc<Core>) -> std::io::Result<Writer> {
        let work = Work {
            db,
            next: core.recent.end(),
            core: Arc::clone(&core),
            appends: Vec::new(),
            done: Vec::new(),
            commits: 0,
        };
        let thread = thread::Builder::new()
            .name("embedded-writer".into())
            .spawn(move || work.run())?;
        Ok(Writer {
            core,
            thread: Some(thread),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.core.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic was noted as fatal when it happened.
            let _ = thread.join();
        }
        self.core.recent.close();
    }
}

struct Work {
    db: Connection,
    core: Arc<Core>,
    /// The offset of the next record.
    next: Offset,
    /// The turn's appends, and its jobs with what became of each.
    appends: Vec<OutgoingRecord>,
    done: Vec<(Box<dyn Job>, Result<(), Fault>)>,
    commits: u32,
}

impl Work {
    fn run(mut self) {
        let guard = NotePanic(Arc::clone(&self.core));
        while self.core.queue.take(&mut self.appends) {
            self.turn();
        }
        mem::forget(guard);
    }

    fn turn(&mut self) {
        let started = Instant::now();
        match self.transaction() {
            Ok(append_ms) => {
                metrics::histogram!("lakechat_log_commit_seconds").record(started.elapsed());
                self.announce(append_ms);
            }
            Err(fault) => self.refuse(&fault),
        }
    }

    /// Runs the turn's work as one transaction; answers the append time of its records.
    fn transaction(&mut self) -> Result<u64, Fault> {
        self.core.health.check()?;
        // Waits for the lock as long as the connection's busy time says.
        let tx = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
        let append_ms = self.core.clock.now_ms();
        append(&tx, self.next, append_ms, &self.appends).map_err(never_broken)?;
        let started = Instant::now();
        while let Some(mut job) = self.core.queue.next_job() {
            let outcome = run(&tx, job.as_mut());
            let went_on = matches!(outcome, Ok(()) | Err(Fault::Broken(_)));
            self.done.push((job, outcome.clone()));
            if !went_on {
                return outcome.map(|()| append_ms);
            }
            if started.elapsed() > TURN {
                break;
            }
        }
        tx.commit().map_err(Fault::from).map_err(never_broken)?;
        Ok(append_ms)
    }

    fn announce(&mut self, append_ms: u64) {
        let count = self.appends.len() as u64;
        let records = self.appends.drain(..).zip(self.next..);
        self.core
            .recent
            .extend(records.map(|(record, offset)| LogRecord {
                partition: record.partition,
                offset,
                append_ms,
                key: record.key,
                value: record.value,
            }));
        self.next += count;
        metrics::counter!("lakechat_log_records_total").increment(count);
        for (job, outcome) in self.done.drain(..) {
            job.answer(outcome);
        }
        self.commits += 1;
        if self.commits >= CHECKPOINT_EVERY {
            self.commits = 0;
            self.core.maintenance.request_checkpoint();
        }
    }

    /// Nothing of the turn was written (after a fatal fault: perhaps). What waits behind it would
    /// meet the same, so it is answered the same.
    fn refuse(&mut self, fault: &Fault) {
        self.core.health.note(fault);
        // Taken before anybody is told: who then tries again is not among them.
        let waiting = self.core.queue.all_jobs();
        tracing::warn!(records = self.appends.len(), reason = %fault, "a transaction failed");
        metrics::counter!("lakechat_log_refused_total").increment(self.appends.len() as u64);
        let on_failure = self.core.on_publish_failure.get();
        let reason: Arc<str> = fault.to_string().into();
        for record in self.appends.drain(..) {
            if let Some(on_failure) = on_failure {
                on_failure(PublishFailure {
                    ticket: record.ticket,
                    refused: matches!(fault, Fault::Away(_)),
                    reason: Arc::clone(&reason),
                });
            }
        }
        let tried = self.done.drain(..).map(|(job, _)| job);
        for job in tried.chain(waiting) {
            job.answer(Err(fault.clone()));
        }
        if matches!(fault, Fault::Fatal(_)) {
            self.core.recent.close();
        }
    }
}

fn append(
    tx: &Connection,
    next: Offset,
    append_ms: u64,
    records: &[OutgoingRecord],
) -> Result<(), Fault> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO log (offset, partition, append_ms, channel, record) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (record, offset) in records.iter().zip(next..) {
        insert.execute(params![
            int(offset),
            record.partition.0,
            int(append_ms),
            Text(&record.key),
            Text(&record.value),
        ])?;
    }
    Ok(())
}

/// Runs a job so that its failure undoes nothing but the job.
fn run(tx: &Connection, job: &mut dyn Job) -> Result<(), Fault> {
    let step = |sql| tx.prepare_cached(sql)?.execute([]);
    step("SAVEPOINT job")?;
    let outcome = job.run(tx).map_err(Fault::from);
    if let Err(Fault::Broken(_)) = outcome {
        step("ROLLBACK TO job").map_err(|e| never_broken(e.into()))?;
    }
    if let Ok(()) | Err(Fault::Broken(_)) = outcome {
        step("RELEASE job").map_err(|e| never_broken(e.into()))?;
    }
    outcome
}

/// A fault of the writer's own statements can't be passed over: somebody else wrote to the log, or
/// SQLite is not what we think.
fn never_broken(fault: Fault) -> Fault {
    match fault {
        Fault::Broken(reason) => Fault::Fatal(reason),
        other => other,
    }
}

/// Tells of the thread's end when it ends by a panic.
struct NotePanic(Arc<Core>);

impl Drop for NotePanic {
    fn drop(&mut self) {
        self.0
            .health
            .note(&Fault::Fatal("the writer panicked".into()));
        self.0.queue.close();
        self.0.recent.close();
    }
}
