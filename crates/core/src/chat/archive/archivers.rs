//! The archivers that run on this server: one per partition that it claims, and one per partition
//! that its claimant doesn't archive.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::catch_up::CatchUpBudget;
use super::shared_append::SharedAppend;
use super::stand_in::UnarchivedPartitions;
use super::{Archiver, Batching};
use crate::chat::log::Log;
use crate::domain::Partition;
use crate::ports::History;
use crate::ports::broker::Offset;

pub struct Archivers {
    log: Arc<Log>,
    history: Arc<dyn History>,
    batching: Batching,
    shared: SharedAppend,
    stop: CancellationToken,
    running: HashMap<Partition, Running>,
    unarchived: UnarchivedPartitions,
    catch_ups: CatchUpBudget,
    tasks: TaskTracker,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// Up to which offset this archiver knows or made history complete.
    stored: Arc<AtomicU64>,
    /// Whether this server claims the partition. Otherwise it only stands in.
    is_claimed: bool,
}

impl Archivers {
    /// None runs yet. Cancelling `stop` stops all of them.
    pub fn new(
        log: Arc<Log>,
        history: Arc<dyn History>,
        batching: Batching,
        stop: CancellationToken,
    ) -> Archivers {
        Archivers {
            catch_ups: CatchUpBudget::new(log.window_limit_bytes()),
            log,
            shared: SharedAppend::new(history.clone(), batching.linger),
            history,
            batching,
            stop,
            running: HashMap::new(),
            unarchived: UnarchivedPartitions::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Starts and stops archivers so that they are those of the claimed partitions, besides those
    /// that stand in.
    pub fn follow(&mut self, claimed: &[Partition]) {
        self.running.retain(|partition, running| {
            let keep = running.is_claimed == claimed.contains(partition);
            if !keep {
                running.stop.cancel();
            }
            keep
        });
        for partition in claimed {
            if !self.running.contains_key(partition) {
                self.start(*partition, true);
            }
        }
    }

    /// Stands in for partitions that have not moved for long, and stops standing in where somebody
    /// else moves the mark. To be called after the marks were read `reads` times in a row.
    pub fn look_after_others(&mut self, reads: u32) {
        let log = self.log.clone();
        self.running.retain(|partition, running| {
            let mark = log.mark(*partition).offset;
            let overtaken = mark > running.stored.load(Relaxed);
            let is_over = !running.is_claimed && (overtaken || running.task.is_finished());
            if is_over {
                tracing::info!(
                    partition = partition.0,
                    "another server archives the partition again; no longer standing in"
                );
                running.stop.cancel();
            }
            !is_over
        });
        for partition in log.partitions() {
            let is_ours = self.running.contains_key(&partition);
            if !is_ours && self.unarchived.note_reading(&log, partition, reads) {
                tracing::warn!(
                    partition = partition.0,
                    "archiving a partition that its assigned server does not archive"
                );
                metrics::counter!("lakechat_archive_stand_ins_total").increment(1);
                self.start(partition, false);
            }
        }
    }

    fn start(&mut self, partition: Partition, is_claimed: bool) {
        self.unarchived.forget(partition);
        let stop = self.stop.child_token();
        let stored = Arc::new(AtomicU64::new(Offset::MAX));
        let archiver = Archiver {
            stored: stored.clone(),
            gives_up: !is_claimed,
            ..Archiver::new(
                self.log.clone(),
                self.history.clone(),
                partition,
                self.batching,
                self.shared.clone(),
                self.catch_ups.clone(),
            )
        };
        let run = watched(self.log.clone(), partition, archiver, stop.clone());
        let running = Running {
            task: self.tasks.spawn(run),
            stop,
            stored,
            is_claimed,
        };
        self.running.insert(partition, running);
    }

    /// Stops all archivers and waits until they have ended.
    pub async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Runs an archiver. If it panics, its partition is not archived any more, and health reports the
/// panic until this server stops archiving the partition.
async fn watched(log: Arc<Log>, partition: Partition, archiver: Archiver, stop: CancellationToken) {
    // At info level, so that warnings carry it: an archiver wakes once a batch.
    let span = tracing::info_span!("archiver", partition = partition.0);
    let run = tokio::spawn(archiver.run(stop.clone()).instrument(span));
    if let Err(error) = run.await {
        log.lock(partition).archive_stopped = Some(format!("partition {partition}: {error}"));
        stop.cancelled().await;
    }
    // The server that archives the partition from here on reports its own state.
    log.lock(partition).archive_stopped = None;
}
