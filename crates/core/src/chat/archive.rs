//! Writes folded records into history: in order, in batches, without gaps. Then it moves the mark.
//!
//! The server that claims a partition archives it. The rows depend on the log alone. So a former
//! owner that still runs does no harm, and a batch may be written twice.

mod archivers;
mod catch_up;
mod mark;
mod shared_append;
mod stand_in;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use archivers::Archivers;
use catch_up::CatchUpBudget;
use shared_append::SharedAppend;

use super::log::Log;
use crate::chat::log::entry::Entry;
use crate::domain::{ChannelName, HistoryRow, Id, Partition};
use crate::ports::broker::{DeadLetter, Offset};
use crate::ports::history::Mark;
use crate::ports::{History, PortError};

/// When a batch is complete.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// The most records in a batch.
    pub rows: usize,
    /// How long the first record of a batch waits for others.
    pub linger: Duration,
}

/// The first and the longest pause between retries while a back end is unavailable.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// The pause before a retry after [`PortError::Broken`]. An operator has to fix the cause.
const REFUSED: Duration = Duration::from_secs(5);

/// Once a partition has cached the message numbers of this many channels, it clears the cache
/// before the next batch. A batch may exceed it.
const NUMBERS: usize = 10_000;

/// Archives the partitions that this server claims, and those that are left alone by whoever claims
/// them, until `stop` is cancelled or claims end.
pub async fn run(
    log: Arc<Log>,
    history: Arc<dyn History>,
    batching: Batching,
    stop: CancellationToken,
) {
    let mut claims = log.broker().assigned_partitions();
    let mut reads = log.mark_reads();
    let mut archivers = Archivers::new(log, history, batching, stop.clone());
    loop {
        archivers.follow(&claims.borrow_and_update());
        tokio::select! {
            // The watches keep the latest values: losing the race loses nothing.
            changed = claims.changed() => if changed.is_err() { break },
            _ = reads.changed() => archivers.look_after_others(*reads.borrow_and_update()),
            () = stop.cancelled() => break,
        }
    }
    // The loop also ends when the broker drops the claims. The archivers have to stop then, too.
    archivers.end().await;
}

struct Archiver {
    log: Arc<Log>,
    history: Arc<dyn History>,
    partition: Partition,
    batching: Batching,
    shared: SharedAppend,
    /// Up to where history has the rows. The mark that history has may be behind it.
    mark: Mark,
    /// The offset of the mark that history has.
    marked: Offset,
    /// When the next mark is due.
    mark_at: Instant,
    /// The last message number per channel. Valid only while batches follow each other without a
    /// gap.
    numbers: HashMap<ChannelName, u64>,
    is_refused: bool,
    /// Up to which offset this archiver knows or made history complete.
    stored: Arc<AtomicU64>,
    /// Whether it ends when history refuses rows: somebody else claims the partition.
    gives_up: bool,
    catch_ups: CatchUpBudget,
}

impl Archiver {
    fn new(
        log: Arc<Log>,
        history: Arc<dyn History>,
        partition: Partition,
        batching: Batching,
        shared: SharedAppend,
        catch_ups: CatchUpBudget,
    ) -> Archiver {
        Archiver {
            log,
            history,
            partition,
            batching,
            shared,
            mark: Mark::default(),
            marked: 0,
            mark_at: Instant::now(),
            numbers: HashMap::new(),
            is_refused: false,
            catch_ups,
            stored: Arc::default(),
            gives_up: false,
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        // Cancelling is safe at any point: rows whose mark was not written are written again, with
        // the same content.
        stop.run_until_cancelled(self.store_while_allowed()).await;
    }

    /// Archives until the partition is stopped. After [`PortError::Broken`] it starts again from
    /// the mark, and later records wait.
    async fn store_while_allowed(&mut self) {
        loop {
            let Err(error) = self.store_for_ever().await;
            if let PortError::Stops { .. } = error {
                tracing::error!(partition = self.partition.0, %error, "this partition is stopped");
                self.log.stop(self.partition, error.to_string());
                return;
            }
            if self.gives_up {
                let partition = self.partition.0;
                tracing::warn!(partition, %error, "history refuses rows of a partition of another server");
                return;
            }
            self.alarm(&error);
            sleep(REFUSED).await;
        }
    }

    fn alarm(&mut self, error: &PortError) {
        let partition = self.partition.0;
        metrics::counter!("lakechat_archive_stopped_total").increment(1);
        self.log.lock(self.partition).archive_stopped =
            Some(format!("partition {partition}: {error}"));
        self.is_refused = true;
        tracing::error!(partition, %error, "history refuses rows: this partition is not stored");
    }

    /// Ends the alarm: history has stored everything that it was given.
    fn clear_refusal(&mut self) {
        if std::mem::take(&mut self.is_refused) {
            self.log.lock(self.partition).archive_stopped = None;
            tracing::info!(partition = self.partition.0, "history accepts rows again");
        }
    }

    /// Returns only with an error that an immediate retry would not fix.
    async fn store_for_ever(&mut self) -> Result<Infallible, PortError> {
        self.set_mark(self.mark_of_history().await?);
        // The cached numbers may include those of a batch that history refused.
        self.numbers.clear();
        let mut filled = self.log.filled(self.partition);
        loop {
            match self.next_batch(&mut filled).await {
                Some(entries) => {
                    let first = entries.first().map(|entry| entry.offset);
                    let span =
                        tracing::info_span!("batch", offset = first, records = entries.len());
                    self.store(&entries).instrument(span).await?;
                }
                None => self.catch_up().await?,
            }
        }
    }

    /// Waits for records from the mark on. Returns them when they fill a batch, when an ack waits for them,
    /// or at the next moment at which the archivers store; nothing if only the mark is due; None if
    /// the tail no longer reaches back to the mark.
    async fn next_batch(
        &mut self,
        filled: &mut watch::Receiver<Offset>,
    ) -> Option<Vec<Arc<Entry>>> {
        loop {
            // Before the tail is read: a record that arrives in between then wakes `changed` below.
            filled.borrow_and_update();
            let entries = self.in_tail()?;
            if entries.len() == self.batching.rows {
                return Some(entries);
            }
            if !entries.is_empty() {
                // After a timeout the batch isn't full. `in_tail` returns what there is.
                let _elapsed = timeout_at(self.shared.next_moment(), self.full(filled)).await;
                return self.in_tail();
            }
            self.clear_refusal();
            tokio::select! {
                // Loses nothing: the tail is read again. Not an error, as `self.log` owns the sender.
                _ = filled.changed() => {}
                () = self.mark_due() => return Some(entries),
            }
        }
    }

    /// Waits until the tail has a full batch, or an ack waits for history.
    async fn full(&self, filled: &mut watch::Receiver<Offset>) {
        let full = || {
            let state = self.log.lock(self.partition);
            state.tail.count_from(self.mark.offset) >= self.batching.rows
        };
        while !full() {
            tokio::select! {
                // Neither loses anything: the tail has the records, and a batch with them follows.
                changed = filled.changed() => if changed.is_err() { return },
                () = self.log.awaits_history(self.partition) => return,
            }
        }
    }

    /// The records from the mark on. Empty for a stopped partition, whose log may not be the one
    /// that this history belongs to.
    fn in_tail(&self) -> Option<Vec<Arc<Entry>>> {
        let state = self.log.lock(self.partition);
        if state.stopped().is_some() {
            return Some(Vec::new());
        }
        state.tail.from(self.mark.offset, self.batching.rows)
    }

    /// Writes a batch: the rows, the dead letters, and last the mark, if it is due.
    async fn store(&mut self, entries: &[Arc<Entry>]) -> Result<(), PortError> {
        if let Some(last) = entries.last() {
            let began = Instant::now();
            let rows = self.rows(entries).await?;
            let count = rows.len();
            self.append(rows).await?;
            self.dead_letter(entries).await?;
            let on_time = entries.iter().rev().find(|e| !e.verdict.is_late());
            self.mark = Mark {
                offset: last.offset + 1,
                id: last.id,
                time_ms: on_time.map_or(self.mark.time_ms, |e| e.append_ms),
            };
            metrics::histogram!("lakechat_archive_batch_rows").record(count as f64);
            let took = began.elapsed().as_secs_f64();
            metrics::histogram!("lakechat_archive_batch_seconds").record(took);
            let lag_ms = self.log.broker().now_ms().saturating_sub(last.append_ms);
            metrics::histogram!("lakechat_archive_lag_seconds").record(lag_ms as f64 / 1000.0);
        }
        self.write_mark().await?;
        self.clear_refusal();
        Ok(())
    }

    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), PortError> {
        // A full batch gains nothing from others' rows.
        let shares = rows.len() < self.batching.rows;
        if rows.is_empty() || shares && self.shared.append(rows.clone()).await {
            return Ok(());
        }
        retry("rows", || self.history.append(rows.clone())).await
    }

    /// Stores unreadable records as dead letters, before the mark moves past them.
    async fn dead_letter(&mut self, entries: &[Arc<Entry>]) -> Result<(), PortError> {
        let dead = entries.iter().filter_map(|e| e.dead.as_deref().cloned());
        let letters: Vec<DeadLetter> = dead.collect();
        if letters.is_empty() {
            return Ok(());
        }
        let broker = self.log.broker();
        retry("dead letters", || broker.dead_letter(&letters)).await?;
        metrics::counter!("lakechat_dead_letters_total").increment(letters.len() as u64);
        // Without a mark behind them the next archiver would store them again.
        self.mark_at = Instant::now();
        Ok(())
    }

    async fn rows(&mut self, entries: &[Arc<Entry>]) -> Result<Vec<HistoryRow>, PortError> {
        if self.numbers.len() >= NUMBERS {
            // Cleared only between batches: history doesn't have the numbers of the current batch
            // yet. The next use of a channel looks its number up.
            self.numbers.clear();
        }
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            let Some(record) = entry.accepted() else {
                continue;
            };
            let n = if entry.is_message() {
                self.number(&record.channel, entry.id).await?
            } else {
                0
            };
            rows.extend(entry.row(n));
        }
        Ok(rows)
    }

    /// The number for the message `id`: one more than that of the channel's previous message.
    async fn number(&mut self, channel: &ChannelName, id: Id) -> Result<u64, PortError> {
        if let Some(last) = self.numbers.get_mut(channel) {
            *last += 1;
            return Ok(*last);
        }
        let before = retry("a number", || self.history.last_message_number(channel, id)).await?;
        let n = before.map_or(0, |(_, n)| n) + 1;
        self.numbers.insert(channel.clone(), n);
        Ok(n)
    }
}

/// Retries without limit while the error is `Unavailable`.
async fn retry<T, F: Future<Output = Result<T, PortError>>>(
    what: &'static str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, PortError> {
    let (mut pause, longest) = RETRY;
    loop {
        match attempt().await {
            Err(error @ PortError::Unavailable { .. }) => {
                metrics::counter!("lakechat_archive_retries_total").increment(1);
                tracing::warn!(%error, what, "a back end of the archiver is unavailable; retrying");
                sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
            done => return done,
        }
    }
}
