//! Storing what the tail no longer has: the log is read again, by a reader warmed up like any other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Archiver, RETRY, retry};
use crate::chat::log::entry::Entry;
use crate::chat::log::reader;
use crate::chat::log::{Log, Refold};
use crate::domain::Partition;
use crate::ports::PortError;
use crate::ports::broker::Offset;
use crate::ports::history::Mark;

/// Batches read ahead; a full queue makes the reading thread wait.
const AHEAD: usize = 2;

const POLL: Duration = Duration::from_millis(200);

impl Archiver {
    /// Stores from the mark on until the tail has the rest.
    pub(super) async fn catch_up(&mut self) -> Result<(), PortError> {
        let (partition, mark) = (self.partition, self.mark);
        tracing::warn!(
            partition = partition.0,
            offset = mark.offset,
            "reading the log again to store it"
        );
        metrics::counter!("lakechat_archive_catch_ups_total").increment(1);
        self.numbers.clear();
        let broker = self.log.broker().clone();
        let marks = [(partition, mark)];
        let from = retry("the log", || reader::starts(broker.as_ref(), &marks)).await?;
        if let Some(lost) = from
            .first()
            .and_then(|(_, start)| reader::lost(*start, mark))
        {
            return Err(PortError::stops("log", Some(partition), lost));
        }
        let (tell, mut batches) = mpsc::channel(AHEAD);
        let log = self.log.clone();
        let rows = self.batching.rows;
        let thread = std::thread::Builder::new().name("lakechat-catch-up".into());
        let read = move || {
            Reread {
                log,
                partition,
                mark,
                rows,
                tell,
            }
            .run(&from)
        };
        thread.spawn(read).map_err(|e| {
            PortError::broken("archiver", format!("no thread to read the log again: {e}"))
        })?;
        while self.in_tail().is_none() {
            // The thread ends when the queue is dropped, and with an error of its own.
            let Some(batch) = batches.recv().await else {
                break;
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(error @ PortError::Unavailable { .. }) => {
                    // The caller sees that the tail still does not reach back, and comes again.
                    tracing::warn!(%error, "the log can't be read again; trying once more");
                    sleep(RETRY.0).await;
                    break;
                }
                Err(broken) => return Err(broken),
            };
            for part in batch.chunks(rows) {
                self.store(part).await?;
            }
        }
        Ok(())
    }
}

struct Reread {
    log: Arc<Log>,
    partition: Partition,
    mark: Mark,
    rows: usize,
    tell: mpsc::Sender<Result<Vec<Arc<Entry>>, PortError>>,
}

impl Reread {
    fn run(self, from: &[(Partition, Offset)]) {
        if let Err(error) = self.read(from) {
            // Nobody waits for it any more: the archiver is gone or has caught up.
            drop(self.tell.blocking_send(Err(error)));
        }
    }

    fn read(&self, from: &[(Partition, Offset)]) -> Result<(), PortError> {
        let mut reader = self.log.broker().reader(from)?;
        let mut refold = Refold::new(&self.log, self.partition, self.mark);
        let mut records = Vec::with_capacity(self.rows);
        while !self.tell.is_closed() {
            match reader.poll(POLL, &mut records) {
                Err(PortError::Unavailable { .. }) => std::thread::park_timeout(POLL),
                polled => polled?,
            }
            let entries = refold.entries(std::mem::take(&mut records))?;
            if refold.take_rewind() {
                reader = self.log.broker().reader(from)?;
            }
            if !entries.is_empty() && self.tell.blocking_send(Ok(entries)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
