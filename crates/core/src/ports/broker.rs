//! The log: partitions of records in one order each, that every server reads and none may change.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::PortError;
use crate::domain::Partition;

/// A place in a partition. Offsets rise; they may have gaps.
pub type Offset = u64;

/// A record as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub partition: Partition,
    pub offset: Offset,
    /// When the log took it, by the log's clock, ms since 1970. May step back from one record to
    /// the next where the log's clock does.
    pub append_ms: u64,
    /// The channel's name, as bytes: what decides the partition.
    pub key: Bytes,
    pub value: Bytes,
}

/// A record that is none by the rules, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub record: LogRecord,
    pub reason: Arc<str>,
}

/// A record on its way into the log.
#[derive(Clone, Debug)]
pub struct OutgoingRecord {
    pub partition: Partition,
    pub key: Bytes,
    pub value: Bytes,
    /// The caller's number for it, handed back if it fails.
    pub ticket: u64,
}

/// What became of a record that was not (or perhaps not) written.
#[derive(Debug)]
pub struct PublishFailure {
    pub ticket: u64,
    /// True: it is certainly not in the log. False: nobody knows; only the log itself can tell.
    pub refused: bool,
    pub reason: Arc<str>,
}

/// Called by the adapter's thread with records that failed; must not block.
pub type PublishFailureHandler = Arc<dyn Fn(PublishFailure) + Send + Sync>;

/// The log.
///
/// *Order.* Records of one partition are read by everybody in one order, that of their offsets.
/// Records published to one partition by one thread stand in the log in the order of the calls, as
/// far as they were written.
///
/// *Durability.* A record that a reader has seen survives the SIGKILL of any process (embedded: a
/// power cut too).
#[async_trait]
pub trait Broker: Send + Sync {
    /// How many partitions there are: a constant of the log's life.
    fn partitions(&self) -> u16;

    /// The clock of this server by which sends are stamped, ms since 1970.
    fn now_ms(&self) -> u64;

    /// Who is told of records that failed; set once, before the first `publish`.
    fn on_publish_failure(&self, handler: PublishFailureHandler);

    /// Puts a record on its way. Does not block and does not wait for the disk.
    ///
    /// `Ok` says only that it is on its way: what happened is told by the log (a reader sees it) or
    /// by `on_publish_failure`. `Unavailable` says that it certainly was not and will not be written; the queue
    /// is bounded, and a full one is refused so.
    fn publish(&self, record: OutgoingRecord) -> Result<(), PortError>;

    /// A reader of some partitions, each from an offset on. Blocks: for a thread of its own.
    ///
    /// `Stops` for a partition whose offset is below what the log still keeps: a loud stop, never a
    /// silent jump.
    fn reader(&self, from: &[(Partition, Offset)]) -> Result<Box<dyn LogReader>, PortError>;

    /// For each partition the offset that its next record will have or be after, as of some moment
    /// after the call: whatever a reader had seen before the call is below. Dropping is safe.
    async fn end_offsets(&self) -> Result<Vec<Offset>, PortError>;

    /// The same at once, where this process knows it by itself; None: it has to be asked for.
    fn known_end_offsets(&self) -> Option<Vec<Offset>> {
        None
    }

    /// For each partition the first offset still kept. Dropping is safe.
    async fn start_offsets(&self) -> Result<Vec<Offset>, PortError>;

    /// How long the log keeps a record at least, if it may lose one that is not in history.
    fn retention(&self) -> Option<Duration> {
        None
    }

    /// For each given partition the first offset whose append time is at or after a time (ms since
    /// 1970); the end if there is none. Every record before it has an earlier append time. Dropping
    /// is safe.
    async fn offsets_for_times(&self, times: &[(Partition, u64)])
    -> Result<Vec<Offset>, PortError>;

    /// Which partitions this server stores in history. Servers share the work out among themselves;
    /// a partition may for a while be claimed by two, which does no harm. The claim lasts as long as
    /// a receiver does.
    fn assigned_partitions(&self) -> watch::Receiver<Vec<Partition>>;

    /// Says that history has everything of a partition below an offset, for tools of the log's own
    /// that show how far its reader is. Nothing depends on it; does not block, and may do nothing.
    fn mark_archived(&self, _partition: Partition, _below: Offset) {}

    /// Keeps records aside for people to look at, as they are; returns when they are as durable as the
    /// log. One that is buried again may be there twice.
    ///
    /// `Unavailable`: perhaps some are kept, try again with all of them. Dropping leaves it open too.
    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), PortError>;

    /// Why nothing may be written to the log until an operator has looked, if so; `publish` refuses
    /// meanwhile.
    fn fault(&self) -> Option<String> {
        None
    }
}

/// Reads a log. Belongs to one thread.
pub trait LogReader: Send {
    /// The next records, in offset order within each partition; waits up to `timeout` for the first.
    /// Appends to `into`, at most about a thousand.
    ///
    /// `Unavailable`: nothing is lost, poll again. `Stops`: an offset of this partition is gone from
    /// the log, or what is there can't be read by the rules. After it, and after `Broken`, only a reader
    /// of other partitions is of use.
    fn poll(&mut self, timeout: Duration, into: &mut Vec<LogRecord>) -> Result<(), PortError>;

    /// The offset from which the next poll reads a partition: past every record that was returned,
    /// and in a log with gaps perhaps further.
    fn position(&self, partition: Partition) -> Offset;
}
