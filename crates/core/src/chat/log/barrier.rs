//! The barrier: a read waits until this server has folded everything that was in the log when the
//! read began. So it contains every message that any server acked before.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::chat::clock::boot_ms;
use crate::chat::log::Log;
use crate::chat::log::stopped::unreadable;
use crate::domain::{Code, Partition, Problem};
use crate::ports::broker::Offset;
use crate::ports::{PerPartition, PortError};

/// How long a read waits for this server's fold.
const DEADLINE: Duration = Duration::from_secs(5);

/// How often the log-end offsets are requested when nobody reads. Sends need them, see `freshness`.
const IDLE: Duration = Duration::from_secs(2);

/// While many reads come, requests begin this far apart. So thousands of sessions that reconnect cause
/// hundreds of requests, and not one for every two or three of them.
const SPACING: Duration = Duration::from_millis(4);

/// A request for at least so many reads shows that many come. A client that reads page after page
/// doesn't wait for the spacing.
const MANY: usize = 8;

type Ends = PerPartition<Offset>;

type Answer = Result<Arc<Ends>, Arc<PortError>>;

/// Requests the log-end offsets. One request serves all reads that wait; a read that arrives while
/// it is under way joins the next one.
pub struct Barrier {
    log: Arc<Log>,
    /// Needs no bound of its own: each element belongs to one read that waits.
    waiting: Mutex<Vec<oneshot::Sender<Answer>>>,
    asked: Notify,
}

impl Barrier {
    pub fn new(log: Arc<Log>) -> Arc<Barrier> {
        Arc::new(Barrier {
            log,
            waiting: Mutex::default(),
            asked: Notify::new(),
        })
    }

    /// Waits until this server has folded everything that was in a partition at the time of the
    /// call. Fails with `HistoryUnavailable` at the deadline, or if the partition is stopped or its end isn't
    /// known.
    pub async fn pass(&self, partition: Partition) -> Result<(), Problem> {
        let deadline = Instant::now() + DEADLINE;
        let ends = self.ends(deadline).await?;
        self.reach(partition, &ends, deadline).await
    }

    /// Like [`Barrier::pass`], for all partitions. Returns those that it can't pass: what is known of their
    /// channels may lack the latest changes. Fails if it can pass none, unless all are stopped.
    pub async fn pass_all(&self) -> Result<Vec<Partition>, Problem> {
        let deadline = Instant::now() + DEADLINE;
        let ends = self.ends(deadline).await?;
        let (mut unread, mut passed, mut failure) = (Vec::new(), false, None);
        for partition in self.log.partitions() {
            match self.reach(partition, &ends, deadline).await {
                Ok(()) => passed = true,
                Err(problem) => {
                    unread.push(partition);
                    let is_stopped = self.log.stopped_partitions().contains(partition);
                    failure = failure.or((!is_stopped).then_some(problem));
                }
            }
        }
        match failure {
            Some(problem) if !passed => Err(problem),
            _ => Ok(unread),
        }
    }

    /// The barrier of a start. It has no deadline, because reading the log takes its time, and it logs the
    /// progress. It doesn't wait for partitions that are stopped, because they need an operator, nor for
    /// those whose end isn't known.
    pub async fn pass_running(&self) {
        let ends = loop {
            match self.ends(Instant::now() + DEADLINE).await {
                Ok(ends) => break ends,
                Err(problem) => {
                    tracing::warn!(%problem, "cannot get the log's end offsets; retrying")
                }
            }
        };
        for partition in self.log.partitions() {
            // Neither does a partition that stops hold up the start. Readiness reports both.
            while let Ok(end) = ends.get(partition) {
                let reached = self.reach(partition, &ends, Instant::now() + DEADLINE);
                if reached.await.is_ok() || self.log.lock(partition).stopped().is_some() {
                    break;
                }
                let offset = *self.log.position(partition).borrow();
                tracing::info!(partition = partition.0, offset, end, "reading the log");
            }
        }
    }

    async fn ends(&self, deadline: Instant) -> Result<Arc<Ends>, Problem> {
        let asked_ms = boot_ms();
        if let Some(ends) = self.log.broker().known_end_offsets() {
            self.log.note_end_offsets(asked_ms, Ok(&ends));
            return Ok(Arc::new(ends));
        }
        let (sender, answer) = oneshot::channel();
        self.waiting
            .lock()
            .expect("no panic while held")
            .push(sender);
        self.asked.notify_one();
        match timeout_at(deadline, answer).await {
            Ok(Ok(Ok(ends))) => Ok(ends),
            Ok(Ok(Err(error))) => Err(unavailable(error.to_string())),
            Ok(Err(_)) => Err(unavailable("the server is shutting down".into())),
            Err(_) => Err(unavailable(
                "timed out waiting for the log's end offsets".into(),
            )),
        }
    }

    async fn reach(&self, p: Partition, ends: &Ends, deadline: Instant) -> Result<(), Problem> {
        let mut position = self.log.position(p);
        loop {
            let reached = *position.borrow_and_update();
            let stopped = self.log.lock(p).stopped().map(str::to_owned);
            if let Some(reason) = stopped {
                return Err(unreadable(reason));
            }
            let end = *ends
                .get(p)
                .map_err(|error| unavailable(error.to_string()))?;
            if reached >= end {
                return Ok(());
            }
            if timeout_at(deadline, position.changed()).await.is_err() {
                let cause = format!("partition {p} was not read up to {end} in time");
                return Err(unavailable(cause));
            }
        }
    }

    /// Requests the log-end offsets for as long as the server runs. After a cancellation, the reads
    /// that wait fail.
    pub async fn run(&self) {
        loop {
            // A timeout isn't an error: sends need recent offsets even if nobody reads.
            let _elapsed = timeout(IDLE, self.asked.notified()).await;
            // Before the request, so that its answer covers the log as of the start of these reads.
            let waiting = std::mem::take(&mut *self.waiting.lock().expect("no panic while held"));
            let (asked_at, asked_ms) = (Instant::now(), boot_ms());
            let answer = self
                .log
                .broker()
                .end_offsets()
                .await
                .map(Arc::new)
                .map_err(Arc::new);
            if let Err(error) = &answer {
                tracing::warn!(%error, "cannot get the log's end offsets");
            }
            let ends = answer.as_deref().map_err(|error| &**error);
            self.log.note_end_offsets(asked_ms, ends);
            let many = waiting.len() >= MANY;
            for sender in waiting {
                // Fails if the read no longer waits.
                drop(sender.send(answer.clone()));
            }
            if many {
                sleep_until(asked_at + SPACING).await;
            }
        }
    }
}

/// Why this server has not read the log up to its end.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotRead(String);

fn unavailable(cause: String) -> Problem {
    let text = "The server can't read the log up to its end right now, so history might be incomplete; \
                try again.";
    Problem::new(Code::HistoryUnavailable, text)
        .retry_after_ms(1_000)
        .cause(NotRead(cause))
}

#[cfg(test)]
mod tests;
