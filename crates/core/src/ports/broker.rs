//! The log: partitions of records. Every server reads the records of a partition in the same order.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::watch;

use super::{PerPartition, PortError};
use crate::domain::Partition;

/// The position of a record in its partition. Offsets increase; they may have gaps.
pub type Offset = u64;

/// A record as it is stored in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub partition: Partition,
    pub offset: Offset,
    /// The time at which the record was appended, by the log's clock, in ms since 1970. It may be
    /// smaller than that of the record before, if a Kafka broker's clock is set back or another
    /// broker takes over.
    pub append_ms: u64,
    /// The name of the channel, which determines the partition.
    pub key: Bytes,
    pub value: Bytes,
}

/// A record that can't be decoded, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub record: LogRecord,
    pub reason: Arc<str>,
}

/// Dead letters, one by one. An error ends the stream; a stream that ends without an error is complete.
pub type DeadLetterListing = Pin<Box<dyn Stream<Item = Result<DeadLetter, PortError>> + Send>>;

/// A record to be published.
#[derive(Clone, Debug)]
pub struct OutgoingRecord {
    pub partition: Partition,
    pub key: Bytes,
    pub value: Bytes,
    /// A number of the caller's choice. [`PublishFailure::ticket`] returns it.
    pub ticket: u64,
}

/// A record that was queued by [`Broker::publish`] and whose write failed.
#[derive(Debug)]
pub struct PublishFailure {
    pub ticket: u64,
    /// True: the record is not in the log and never will be. False: the outcome is unknown. The
    /// record may be in the log or still be appended; only reading the log shows which.
    pub refused: bool,
    pub reason: Arc<str>,
}

/// Receives the records whose write failed. It runs on a thread of the adapter and must not block.
pub type PublishFailureHandler = Arc<dyn Fn(PublishFailure) + Send + Sync>;

/// The log.
///
/// *Order.* The records of a partition have one order, that of their offsets, and every reader gets
/// them in it. Records that one thread publishes to one partition are appended in the order of the
/// calls; records whose write fails are left out. There is no order between partitions.
///
/// *Durability.* A record that a reader has returned survives the SIGKILL of any process. In
/// embedded mode it survives a power cut, too.
///
/// *Errors.* `Unavailable`: the log can't be reached or doesn't respond in time; retry. `Broken`:
/// the log can't be used until an operator has acted, for instance because its topic was deleted.
/// The calls that write state whether the write may have happened. In a
/// [`PerPartition`], the error of a partition concerns it alone.
///
/// Dropping a future is safe: the reading calls have no effects, and [`Broker::dead_letter`] may or
/// may not have written. A vector "by partition" has one element for each partition, at
/// [`Partition::index`].
#[async_trait]
pub trait Broker: Send + Sync {
    /// The number of partitions. It is at least 1 and never changes during the life of the log.
    fn partitions(&self) -> u16;

    /// This server's time in ms since 1970, with which it stamps sends. In embedded mode it is the
    /// log's own clock; otherwise it may differ from that of [`LogRecord::append_ms`].
    fn now_ms(&self) -> u64;

    /// Sets the handler of failed writes. Must be called before the first `publish`. Only the first
    /// call has an effect.
    fn on_publish_failure(&self, handler: PublishFailureHandler);

    /// Queues a record to be appended. Returns at once, without waiting for a disk or the network.
    ///
    /// `Ok` means that the record is queued. Afterwards either a reader returns it, or the handler
    /// of [`Broker::on_publish_failure`] gets its ticket. A failure with an unknown outcome can be
    /// followed by the record itself. There is no limit on how long this takes, so callers need a
    /// timeout.
    ///
    /// After any error the record is not queued and will never be in the log. `Unavailable`
    /// includes a full queue: `publish` doesn't wait for room.
    fn publish(&self, record: OutgoingRecord) -> Result<(), PortError>;

    /// Opens a reader of the given partitions, each from the given offset on. The offset need not
    /// be that of a record: the first record at or above it is the first one returned. Blocks for
    /// some seconds at worst, so it must run on a thread that may block.
    ///
    /// `from` names each partition at most once. An offset is at most the log-end offset.
    ///
    /// `Stops`: the log doesn't hold this partition's offset, for instance because its records were
    /// deleted. A reader never skips to another offset by itself. `Broken`: also for a partition
    /// that doesn't exist. An adapter may report both from [`LogReader::poll`] instead, once it is
    /// certain of them.
    fn reader(&self, from: &[(Partition, Offset)]) -> Result<Box<dyn LogReader>, PortError>;

    /// Like [`Broker::reader`], for a reader that may be slower: it holds at most about
    /// `read_ahead_bytes` of records that were not polled yet. An adapter that reads nothing ahead
    /// need not implement it.
    fn background_reader(
        &self,
        from: &[(Partition, Offset)],
        _read_ahead_bytes: usize,
    ) -> Result<Box<dyn LogReader>, PortError> {
        self.reader(from)
    }

    /// By partition, the log-end offset (one past the last record) at some moment between the call
    /// and its return. Every record that any reader returned before the call lies below it. The
    /// next record of the partition has this offset or a larger one.
    ///
    /// A partition's own error may be `Stops`: the log has lost records below an offset that was its end.
    async fn end_offsets(&self) -> Result<PerPartition<Offset>, PortError>;

    /// The same as [`Broker::end_offsets`], if this process has the answer in memory. `None` if it
    /// has not, or while the log is broken; then `end_offsets` has to be called.
    fn known_end_offsets(&self) -> Option<PerPartition<Offset>> {
        None
    }

    /// By partition, the log-start offset: every record below it was deleted, or is left out because
    /// an operator had lakechat adopt the log from there on. A reader may start there. It is at most
    /// the log-end offset, unless the log has lost what lay below.
    async fn start_offsets(&self) -> Result<PerPartition<Offset>, PortError>;

    /// The age after which the log may delete a record even if it isn't in history. `None`: the log
    /// never deletes such a record.
    fn retention(&self) -> Option<Duration> {
        None
    }

    /// For each given partition and time (ms since 1970), an offset that divides its records: every
    /// record below it has an earlier append time, and the first record at or above it was appended
    /// at that time or later. If there is no such record, it is the log-end offset at some moment
    /// between the call and its return. It is never below the log-start offset. The results are in
    /// the order of `times`, and each may be an error of its partition alone.
    async fn offsets_for_times(
        &self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Result<Offset, PortError>>, PortError>;

    /// The partitions that this server archives, as they change. The servers divide all partitions
    /// among themselves. For a short time a partition may be assigned to two servers, which does no
    /// harm, or to none.
    ///
    /// This server takes part as long as at least one receiver exists. At first the list may be
    /// empty.
    fn assigned_partitions(&self) -> watch::Receiver<Vec<Partition>>;

    /// Reports that history has every record of a partition below an offset. The log's own tools
    /// show it as the progress of a consumer; lakechat doesn't depend on it. It doesn't block, it
    /// can't fail, and an adapter may ignore it.
    fn mark_archived(&self, _partition: Partition, _below: Offset) {}

    /// Stores copies of records for an operator, unchanged and with the reasons. When it returns
    /// `Ok`, all of them are as durable as the log. An empty slice is `Ok`.
    ///
    /// After an error, or if the future is dropped, any of the letters may be stored. The caller
    /// retries with all of them. A letter that is stored twice may appear twice.
    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), PortError>;

    /// Lists the dead letters that were stored before the call and are still kept, in any order. A letter
    /// that was stored twice may appear twice. Memory is bounded for any number of letters.
    async fn dead_letters(&self) -> Result<DeadLetterListing, PortError>;

    /// Why the log must not be used until an operator has acted, if so. While there is a reason,
    /// `publish` returns `Broken`. The reason disappears when the adapter finds the log repaired.
    fn fault(&self) -> Option<String> {
        None
    }
}

/// Reads some partitions of a log in order. Its calls block, so it belongs to a thread of its own.
pub trait LogReader: Send {
    /// Appends the next records to `into`, in offset order within each partition and in any order
    /// between partitions. Returns about 1,000 records at most. Waits up to `timeout` for the first
    /// one; if none arrives, it returns `Ok` and appends nothing.
    ///
    /// Records that were appended before an error count as returned: the next poll doesn't repeat
    /// them.
    ///
    /// `Unavailable`: no record is lost or skipped; poll again. Partitions that aren't concerned may
    /// return records meanwhile. `Stops`: records of this partition
    /// that were not yet read were deleted, or a record breaks the log's rules (for instance, it
    /// has no append time). After `Stops` or `Broken` this reader must not be polled again. After
    /// `Stops` a reader of the other partitions can be opened.
    fn poll(&mut self, timeout: Duration, into: &mut Vec<LogRecord>) -> Result<(), PortError>;

    /// The offset from which the next poll reads a partition. It is above every record that was
    /// returned. If the log's end follows offsets without a record, such as the marker of a
    /// transaction, polls move the position past them: a reader that is polled reaches the log-end
    /// offset, whatever lies below it. Only meaningful for the partitions that were given to
    /// [`Broker::reader`].
    fn position(&self, partition: Partition) -> Offset;
}
