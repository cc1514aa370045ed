//! The archived messages and events: rows that the archiver writes, and that lakechat and analysts
//! read.

use async_trait::async_trait;

use super::PortError;
use super::broker::Offset;
use crate::domain::{
    Change, Channel, ChannelName, HistoryRow, Id, Member, Membership, Message, Partition, UserName,
};

/// The offset of a partition up to which history is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The first offset that isn't archived. Every record below it is.
    pub offset: Offset,
    /// The last id that was minted below `offset`; [`Id::ZERO`] if there is none.
    pub id: Id,
    /// The append time of the last record below `offset` that was not late, in ms since 1970; 0 if
    /// there is none.
    pub time_ms: u64,
}

/// Which messages of a channel to read. Both ends are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRange {
    /// The newest messages with `after < id < before`.
    Newest { after: Id, before: Id },
    /// The oldest messages with `after < id < before`.
    Oldest { after: Id, before: Id },
}

/// A channel that has rows of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRows {
    pub channel: ChannelName,
    /// Whether they are stored as rows of a private channel: see [`HistoryRow::private`].
    pub private: bool,
}

/// The rows of all channels. Within a channel they are ordered by id, which is the order of the
/// log.
///
/// *Writing.* Only archivers write. Rows depend on the log alone, so two archivers write equal rows
/// for one record. Storing rows again, in any order and from any server, leaves the same cells: of
/// several changes to one cell, the one with the largest id wins. Batches are not atomic.
///
/// *Reading.* A read sees all rows of every `append` that returned `Ok` before the read began. It
/// may also see rows above the mark, which an archiver has written before it advanced the mark.
/// Callers bound their reads by an id to exclude them.
///
/// *Errors.* `Unavailable`: the store can't be reached, is too slow or refuses for now. After a
/// write it is unknown which rows were stored; the caller retries the whole batch. `Broken`: a row
/// or the schema is not as lakechat needs it, or the database failed. An operator has to act, and
/// parts of a write may have been stored.
///
/// *Dropping a future* is safe: a read has no effect, and a write may happen completely, in part or
/// not at all.
#[async_trait]
pub trait History: Send + Sync {
    /// Stores rows. When it returns `Ok`, all of them are durable and readable. Until then they may
    /// become readable in any order. An empty vector is `Ok`.
    ///
    /// [`HistoryRow::private`] must match the kind of the row's channel: a store may keep private
    /// rows in other tables and look only there. A change may be stored before its message; reads
    /// skip the message until its own row is stored.
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), PortError>;

    /// Whether the cost of an `append` depends on the number of calls so much that callers should join
    /// the rows of all partitions in one call, although they come in bursts then.
    fn prefers_few_calls(&self) -> bool {
        false
    }

    /// The marks of all partitions, at [`Partition::index`]. A partition whose mark was never
    /// advanced is at offset 0 with time 0. Its id is [`Id::ZERO`], or the last id of the log that
    /// this log replaced: the ids of this log have to be larger.
    ///
    /// `Stops`: another log was adopted, or the rows that identify the log are missing. The marks
    /// that this server knows are no longer valid.
    async fn marks(&self) -> Result<Vec<Mark>, PortError>;

    /// Moves the mark of a partition forward, and returns when that is durable. A mark whose offset
    /// is at or below that of the stored mark changes nothing and is `Ok`.
    ///
    /// Called after every row of the records below the mark was stored. After an error, or if the
    /// future is dropped, the mark may have moved; retrying is safe.
    async fn advance_mark(&self, partition: Partition, mark: Mark) -> Result<(), PortError>;

    /// Up to `limit` messages of a channel in a range, the oldest first, in their current state:
    /// with the changes that are stored so far. Deleted messages are included, without their text.
    async fn messages(
        &self,
        channel: &ChannelName,
        range: MessageRange,
        limit: usize,
    ) -> Result<Vec<Message>, PortError>;

    /// Up to `limit` changes in a channel with `after < id < before`, the oldest first. The text of
    /// an edit is empty: only the row of the message has the latest text.
    async fn changes(
        &self,
        channel: &ChannelName,
        after: Id,
        before: Id,
        limit: usize,
    ) -> Result<Vec<Change>, PortError>;

    /// Up to `limit` of the channels that have rows of messages, in an order of the store's own. It begins
    /// after `after`, an element of an earlier answer, or else with the first. A channel whose rows are
    /// stored both as private ones and as public ones may appear twice.
    async fn channels_with_rows(
        &self,
        after: Option<&ChannelRows>,
        limit: usize,
    ) -> Result<Vec<ChannelRows>, PortError>;

    /// The id and the number of a channel's last message with an id below `before`. `None` if there
    /// is no such message.
    async fn last_message_number(
        &self,
        channel: &ChannelName,
        before: Id,
    ) -> Result<Option<(Id, u64)>, PortError>;

    /// Up to `limit` members of a channel whose names follow `after`, ordered by name (by bytes).
    /// Without `after`, it begins with the first. Former members are included, with role `none`.
    async fn members(
        &self,
        channel: &ChannelName,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<Member>, PortError>;

    /// The memberships of a user, ordered by the channel's name (by bytes). Former ones have role
    /// `none`.
    async fn memberships(&self, user: &UserName) -> Result<Vec<Membership>, PortError>;

    /// Sets the topic and the archival of channels from their events in history. Without such an
    /// event a field keeps its value. After an error some channels may have been changed.
    async fn fill_channel_state(&self, channels: &mut [Channel]) -> Result<(), PortError>;
}
