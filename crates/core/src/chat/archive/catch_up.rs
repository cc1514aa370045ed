//! Archives records that the tail has evicted: reads the log again, with a second fold that is
//! warmed up like the first.

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

/// Batches read ahead; while the queue is full, the reading thread waits.
const AHEAD: usize = 2;

const POLL: Duration = Duration::from_millis(200);

impl Archiver {
    /// Archives from the mark on until the tail reaches back to the mark.
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
        let span = tracing::Span::current();
        let read = move || {
            let _entered = span.entered();
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
            // Closed: the thread has ended. Its error, if any, was the last item.
            let Some(batch) = batches.recv().await else {
                break;
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
            // A closed queue means that the archiver has stopped or caught up, and needs no error.
            drop(self.tell.blocking_send(Err(error)));
        }
    }

    fn read(&self, from: &[(Partition, Offset)]) -> Result<(), PortError> {
        let mut reader = self.log.broker().reader(from)?;
        let mut refold = Refold::new(&self.log, self.partition, self.mark);
        let mut records = Vec::with_capacity(self.rows);
        // The archiver drops the receiver when it has caught up or stops. This thread then ends
        // after at most one poll.
        while !self.tell.is_closed() {
            match reader.poll(POLL, &mut records) {
                Err(PortError::Unavailable { .. }) => std::thread::park_timeout(POLL),
                polled => polled?,
            }
            let entries = refold.entries(std::mem::take(&mut records))?;
            // The warm-up didn't reach the mark's id. The fold starts it again from another id.
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
