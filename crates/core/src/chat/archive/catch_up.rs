//! Archives records that the tail has evicted: reads the log again, with a second fold that is
//! warmed up like the first.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;

use super::{Archiver, RETRY, retry};
use crate::chat::log::entry::Entry;
use crate::chat::log::reader;
use crate::chat::log::{Log, Refold};
use crate::domain::Partition;
use crate::ports::PortError;
use crate::ports::broker::Offset;
use crate::ports::history::Mark;
use crate::threads::catch_panic;

/// The partitions of a server that catch up at a time. The others wait for their turn.
const AT_ONCE: usize = 2;

/// Each has a fold of its own, whose window takes about as much memory as that of the partition's log. Together
/// they may take this part of the limit of all windows. A window that is larger takes all of it, alone.
const WINDOWS_PART: usize = 4;

/// What a reader reads ahead of its thread, in bytes.
const READ_AHEAD_BYTES: usize = 2 * 1024 * 1024;

/// The entries of all partitions that were read and aren't stored yet, in KiB.
const ENTRIES_KIB: u32 = 8 * 1024;

/// Batches that a thread reads ahead. It waits while there are as many, or as much in bytes as all threads
/// may hold.
const AHEAD: usize = 2;

const POLL: Duration = Duration::from_millis(200);

/// What the catch-ups of a server share, so that a long outage of history, after which all partitions have
/// to catch up, takes no more memory than a short one.
#[derive(Clone)]
pub(super) struct CatchUpBudget {
    turns: Arc<Semaphore>,
    windows: Arc<Semaphore>,
    windows_kib: u32,
    entries_kib: Arc<Semaphore>,
}

/// Held while a partition catches up.
struct Turn {
    _turn: OwnedSemaphorePermit,
    _window: OwnedSemaphorePermit,
}

impl CatchUpBudget {
    /// `window_bytes`: the limit of all windows.
    pub fn new(window_bytes: usize) -> CatchUpBudget {
        let windows_kib = kib(window_bytes / WINDOWS_PART);
        CatchUpBudget {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            windows: Arc::new(Semaphore::new(windows_kib as usize)),
            windows_kib,
            entries_kib: Arc::new(Semaphore::new(ENTRIES_KIB as usize)),
        }
    }

    /// Waits for the turn of a partition whose window takes so many bytes.
    async fn turn(&self, window_bytes: usize) -> Turn {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let room = kib(window_bytes).min(self.windows_kib);
        let window = Arc::clone(&self.windows).acquire_many_owned(room).await;
        Turn {
            _turn: turn.expect("never closed"),
            _window: window.expect("never closed"),
        }
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

type Batches = mpsc::Receiver<Result<CatchUpBatch, PortError>>;

/// Entries that wait to be stored.
struct CatchUpBatch {
    entries: Vec<Arc<Entry>>,
    _room: OwnedSemaphorePermit,
}

impl Archiver {
    /// Archives from the mark on until the tail reaches back to the mark.
    pub(super) async fn catch_up(&mut self) -> Result<(), PortError> {
        let (partition, mark) = (self.partition, self.mark);
        let window_bytes = self.log.lock(partition).fold.window().bytes();
        let turn = self.catch_ups.turn(window_bytes).await;
        tracing::warn!(
            partition = partition.0,
            offset = mark.offset,
            "reading the log again to store it"
        );
        metrics::counter!("lakechat_archive_catch_ups_total").increment(1);
        self.numbers.clear();
        let mut batches = self.read_again(turn).await?;
        while self.in_tail().is_none() {
            let Some(batch) = batches.recv().await else {
                let reason = "the thread that reads the log again panicked";
                return Err(PortError::broken("archiver", reason));
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(error @ PortError::Unavailable { .. }) => {
                    // The caller finds that the tail still doesn't reach back, and calls again.
                    tracing::warn!(%error, "cannot read the log again; retrying");
                    sleep(RETRY.0).await;
                    break;
                }
                Err(broken) => return Err(broken),
            };
            for part in batch.entries.chunks(self.batching.rows) {
                self.store(part).await?;
            }
        }
        Ok(())
    }

    /// Starts the thread that reads, within its turn. Its error, if any, is the last item.
    async fn read_again(&self, turn: Turn) -> Result<Batches, PortError> {
        let (partition, mark) = (self.partition, self.mark);
        let broker = self.log.broker().clone();
        let marks = [(partition, mark)];
        let from = retry("the log", async || {
            let starts = reader::starts(broker.as_ref(), &marks).await?;
            let known = starts.into_iter().map(|(p, start)| Ok((p, start?)));
            known.collect::<Result<Vec<_>, PortError>>()
        });
        let from = from.await?;
        if let Some(lost) = from
            .first()
            .and_then(|(_, start)| reader::lost(*start, mark))
        {
            return Err(PortError::stops("log", Some(partition), lost));
        }
        let (sender, batches) = mpsc::channel(AHEAD);
        let reread = Reread {
            log: self.log.clone(),
            partition,
            mark,
            rows: self.batching.rows,
            sender,
            runtime: Handle::current(),
            entries_kib: Arc::clone(&self.catch_ups.entries_kib),
            _turn: turn,
        };
        // Not joined: it ends by itself, soon after the queue's other end is dropped.
        let thread = std::thread::Builder::new().name("lakechat-catch-up".into());
        let span = tracing::Span::current();
        let read = move || {
            let _entered = span.entered();
            catch_panic(|| reread.run(&from))
        };
        thread.spawn(read).map_err(|e| {
            PortError::broken("archiver", format!("no thread to read the log again: {e}"))
        })?;
        Ok(batches)
    }
}

struct Reread {
    log: Arc<Log>,
    partition: Partition,
    mark: Mark,
    rows: usize,
    sender: mpsc::Sender<Result<CatchUpBatch, PortError>>,
    runtime: Handle,
    entries_kib: Arc<Semaphore>,
    /// Held until the reader is closed.
    _turn: Turn,
}

impl Reread {
    fn run(self, from: &[(Partition, Offset)]) {
        if let Err(error) = self.read(from) {
            // A closed queue means that the archiver has stopped or caught up, and needs no error.
            drop(self.sender.blocking_send(Err(error)));
        }
    }

    fn read(&self, from: &[(Partition, Offset)]) -> Result<(), PortError> {
        let open = || self.log.broker().background_reader(from, READ_AHEAD_BYTES);
        let mut reader = open()?;
        let mut refold = Refold::new(&self.log, self.partition, self.mark);
        let mut records = Vec::with_capacity(self.rows);
        // The archiver drops the receiver when it has caught up or stops. This thread then ends
        // after at most one poll.
        while !self.sender.is_closed() {
            match reader.poll(POLL, &mut records) {
                Err(PortError::Unavailable { .. }) => std::thread::park_timeout(POLL),
                polled => polled?,
            }
            let entries = refold.entries(std::mem::take(&mut records))?;
            // The warm-up didn't reach the mark's id. The fold starts it again from another id.
            if refold.take_rewind() {
                reader = open()?;
            }
            if entries.is_empty() {
                continue;
            }
            let Some(room) = self.room_for(&entries) else {
                return Ok(());
            };
            let batch = CatchUpBatch {
                entries,
                _room: room,
            };
            if self.sender.blocking_send(Ok(batch)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits until entries that are being stored leave room for these; None if nobody wants them any
    /// more.
    fn room_for(&self, entries: &[Arc<Entry>]) -> Option<OwnedSemaphorePermit> {
        let bytes: usize = entries.iter().map(|entry| entry.bytes()).sum();
        // A batch that is larger than all the room takes all of it.
        let entries_kib = Arc::clone(&self.entries_kib);
        let room = entries_kib.acquire_many_owned(kib(bytes).min(ENTRIES_KIB));
        self.runtime.block_on(async {
            tokio::select! {
                room = room => Some(room.expect("never closed")),
                // Loses nothing: what is above the mark is read again.
                () = self.sender.closed() => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn partitions_catch_up_together_if_their_windows_fit() {
        let budget = CatchUpBudget::new(512 * MIB);
        let begin = |window_bytes| budget.turn(window_bytes).now_or_never();
        let small = begin(32 * MIB).expect("there is room");
        let other = begin(32 * MIB).expect("there is room");
        assert!(begin(0).is_none(), "two at a time");
        drop(other);
        assert!(begin(400 * MIB).is_none(), "it needs all of the room");
        drop(small);
        let large = begin(400 * MIB).expect("it is alone");
        assert!(begin(32 * MIB).is_none());
        drop(large);
        assert!(begin(32 * MIB).is_some());
    }
}
