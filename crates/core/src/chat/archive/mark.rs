//! The mark that an archiver writes behind its rows.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::{Archiver, retry};
use crate::ports::PortError;
use crate::ports::history::Mark;

/// A partition's mark moves once in so many times `linger`, and once in [`MARK_EVERY`] at least, unless
/// an ack waits for it. Unlike rows, each mark is a call of its own; until it moves, rows above it are
/// read from memory.
const LINGERS_PER_MARK: u32 = 5;
const MARK_EVERY: Duration = Duration::from_secs(1);

impl Archiver {
    /// Waits until the mark has to be written; for ever if it has not.
    pub(super) async fn mark_due(&self) {
        if !self.mark_is_behind() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = sleep_until(self.mark_at.into()) => {}
            () = self.log.awaits_history(self.partition) => {}
        }
    }

    /// Whether history has rows above its mark. A stopped partition has none: its log may not be the one
    /// that history belongs to.
    fn mark_is_behind(&self) -> bool {
        self.marked < self.mark.offset && self.log.lock(self.partition).stopped().is_none()
    }

    /// Writes the mark, if it is due or an ack waits for it.
    pub(super) async fn write_mark(&mut self) -> Result<(), PortError> {
        let (partition, mark) = (self.partition, self.mark);
        let is_awaited = !self.log.lock(partition).persisting.is_empty();
        let is_due = is_awaited || self.mark_at <= Instant::now();
        if !is_due || !self.mark_is_behind() {
            return Ok(());
        }
        retry("a mark", || self.history.advance_mark(partition, mark)).await?;
        self.mark_at = Instant::now() + MARK_EVERY.min(LINGERS_PER_MARK * self.batching.linger);
        // Only after the mark is stored: `learn_mark` releases the acks that wait for history, and
        // lets the tail evict the records.
        self.set_mark(mark);
        self.log.learn_mark(partition, mark);
        self.log.broker().mark_archived(partition, mark.offset);
        Ok(())
    }

    pub(super) fn set_mark(&mut self, mark: Mark) {
        self.mark = mark;
        self.marked = mark.offset;
        self.stored.store(mark.offset, Relaxed);
    }

    pub(super) async fn mark_of_history(&self) -> Result<Mark, PortError> {
        let marks = retry("marks", || self.history.marks()).await?;
        Ok(marks
            .get(self.partition.index())
            .copied()
            .unwrap_or_default())
    }
}
