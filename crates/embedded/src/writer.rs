//! The only thread that writes.
//!
//! It writes in batches: all queued records and as many jobs as fit into the batch's time become one
//! transaction and share one fsync. Answers follow the commit, and readers see a record only after
//! the commit that covers it.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tracing::field::Empty;

use super::columns::{Text, int};
use super::engine::Engine;
use super::fault::Fault;
use super::queue::Job;
use lakechat_core::ports::broker::{LogRecord, Offset, OutgoingRecord, PublishFailure};
use lakechat_core::threads::{OwnedThread, catch_panic};

/// How long a batch takes jobs from the queue. Records that arrive meanwhile wait for the next batch,
/// so this bounds their delay.
const MAX_JOBS_TIME: Duration = Duration::from_millis(4);
/// Commits between two requests for a checkpoint.
const CHECKPOINT_EVERY: u32 = 64;

/// Owns the writer thread. Dropping it writes what is queued and joins the thread.
pub(super) struct Writer {
    engine: Arc<Engine>,
    thread: Option<OwnedThread>,
}

impl Writer {
    pub fn start(db: Connection, engine: Arc<Engine>) -> std::io::Result<Writer> {
        let worker = Worker {
            db,
            next_offset: engine.recent_records.end(),
            engine: Arc::clone(&engine),
            records: Vec::new(),
            jobs: Vec::new(),
            commits: 0,
        };
        let thread = OwnedThread::spawn("embedded-writer", move || worker.run())?;
        Ok(Writer {
            engine,
            thread: Some(thread),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.engine.queue.close();
        // Joins it: the queued records are in memory for readers when it has ended.
        drop(self.thread.take());
        self.engine.recent_records.close();
    }
}

struct Worker {
    db: Connection,
    engine: Arc<Engine>,
    next_offset: Offset,
    /// The batch's records.
    records: Vec<OutgoingRecord>,
    /// The batch's jobs that ran, each with its outcome.
    jobs: Vec<(Job, Result<(), Fault>)>,
    /// Commits since the last request for a checkpoint.
    commits: u32,
}

impl Worker {
    fn run(mut self) {
        let on_panic = ReportPanic(Arc::clone(&self.engine));
        while self.engine.queue.take(&mut self.records) {
            self.write_batch();
        }
        mem::forget(on_panic);
    }

    fn write_batch(&mut self) {
        let span = tracing::debug_span!("write batch", records = self.records.len(), jobs = Empty);
        let _entered = span.enter();
        let started = Instant::now();
        let committed = self.commit_batch();
        span.record("jobs", self.jobs.len());
        match committed {
            Ok(append_ms) => {
                metrics::histogram!("lakechat_log_commit_seconds").record(started.elapsed());
                self.complete_batch(append_ms);
            }
            Err(fault) => self.fail_batch(&fault),
        }
    }

    /// Runs the batch as one transaction; returns the append time of its records.
    fn commit_batch(&mut self) -> Result<u64, Fault> {
        self.engine.health.check()?;
        // Immediate: waiting for another process's lock happens here, up to the connection's busy
        // timeout, and not in the middle of the batch.
        let tx = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
        // Read after waiting for the lock: the fold judges by it whether a record came too late.
        let append_ms = self.engine.clock.now_ms();
        append(&tx, self.next_offset, append_ms, &self.records).map_err(escalate)?;
        let started = Instant::now();
        while let Some(mut job) = self.engine.queue.next_job() {
            let outcome = run_job(&tx, &mut job);
            self.jobs.push((job, outcome.clone()));
            // A broken job was rolled back alone; any other fault concerns the whole transaction.
            if let Err(fault @ (Fault::Unavailable(_) | Fault::Fatal(_))) = outcome {
                return Err(fault);
            }
            if started.elapsed() > MAX_JOBS_TIME {
                break;
            }
        }
        tx.commit().map_err(Fault::from).map_err(escalate)?;
        Ok(append_ms)
    }

    fn complete_batch(&mut self, append_ms: u64) {
        let count = self.records.len() as u64;
        let records = self.records.drain(..).zip(self.next_offset..);
        self.engine
            .recent_records
            .extend(records.map(|(record, offset)| LogRecord {
                partition: record.partition,
                offset,
                append_ms,
                key: record.key,
                value: record.value,
            }));
        self.next_offset += count;
        metrics::counter!("lakechat_log_records_total").increment(count);
        for (job, outcome) in self.jobs.drain(..) {
            job.answer(outcome);
        }
        self.commits += 1;
        if self.commits >= CHECKPOINT_EVERY {
            self.commits = 0;
            self.engine.maintenance.request_checkpoint();
        }
    }

    /// Reports the failure of the batch. Nothing of it was written; after a fatal fault that is
    /// unknown. Jobs still queued would meet the same fault, so they fail with it.
    fn fail_batch(&mut self, fault: &Fault) {
        self.engine.health.report(fault);
        // Taken before any caller gets its answer, so that a retry is not among them.
        let queued = self.engine.queue.all_jobs();
        tracing::warn!(records = self.records.len(), reason = %fault, "a write batch failed");
        metrics::counter!("lakechat_log_refused_total").increment(self.records.len() as u64);
        let on_failure = self.engine.on_publish_failure.get();
        let reason: Arc<str> = fault.to_string().into();
        for record in self.records.drain(..) {
            if let Some(on_failure) = on_failure {
                on_failure(PublishFailure {
                    ticket: record.ticket,
                    refused: matches!(fault, Fault::Unavailable(_)),
                    reason: Arc::clone(&reason),
                });
            }
        }
        let ran = self.jobs.drain(..).map(|(job, _)| job);
        for job in ran.chain(queued) {
            job.answer(Err(fault.clone()));
        }
        if matches!(fault, Fault::Fatal(_)) {
            self.engine.recent_records.close();
        }
    }
}

fn append(
    tx: &Connection,
    first_offset: Offset,
    append_ms: u64,
    records: &[OutgoingRecord],
) -> Result<(), Fault> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO log (offset, partition, append_ms, channel, record) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (record, offset) in records.iter().zip(first_offset..) {
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

/// Runs a job in a savepoint, so that a job that is broken or panics rolls back alone.
fn run_job(tx: &Connection, job: &mut Job) -> Result<(), Fault> {
    let execute = |sql| tx.prepare_cached(sql)?.execute([]);
    execute("SAVEPOINT job")?;
    let outcome = catch_panic(|| job.run(tx));
    let outcome = outcome.unwrap_or_else(|| Err(Fault::Broken("the job panicked".into())));
    if let Err(Fault::Broken(_)) = outcome {
        execute("ROLLBACK TO job").map_err(|e| escalate(e.into()))?;
    }
    if let Ok(()) | Err(Fault::Broken(_)) = outcome {
        execute("RELEASE job").map_err(|e| escalate(e.into()))?;
    }
    outcome
}

/// Makes a broken statement of the writer's own fatal. These statements are known to be valid, so
/// another program has changed the tables, or SQLite does not behave as this code assumes.
fn escalate(fault: Fault) -> Fault {
    match fault {
        Fault::Broken(reason) => Fault::Fatal(reason),
        other => other,
    }
}

/// Dropped by a panic of the thread only: makes the panic a fatal fault and ends all waiting.
struct ReportPanic(Arc<Engine>);

impl Drop for ReportPanic {
    fn drop(&mut self) {
        self.0
            .health
            .report(&Fault::Fatal("the writer thread panicked".into()));
        self.0.queue.abandon();
        self.0.recent_records.close();
    }
}
