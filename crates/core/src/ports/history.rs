//! What was said, stored: rows that the archiver writes and that people and analysts read.

use async_trait::async_trait;

use super::PortError;
use super::broker::Offset;
use crate::domain::{
    Change, Channel, ChannelName, HistoryRow, Id, Member, Message, Partition, UserName,
};

/// Up to where history holds everything of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The first offset not yet stored.
    pub offset: Offset,
    /// The id minted last below it; [`Id::ZERO`] when there was none.
    pub id: Id,
    /// The append time of the last record below it that was not late, ms since 1970; 0 when there
    /// was none.
    pub time_ms: u64,
}

/// Which messages of a channel to read; both ends exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRange {
    /// The newest of those in `after < id < before`.
    Newest { after: Id, before: Id },
    /// The oldest of those in `after < id < before`.
    Oldest { after: Id, before: Id },
}

/// Messages of each channel in the order of their ids, which is the order of the log.
///
/// *Writing.* Only the archiver writes, and what it writes depends on the log alone: storing the
/// same rows again, in whatever order and from whatever server, leaves the same cells. Of several
/// changes of one thing the one with the larger id wins. `Unavailable` leaves it open whether rows
/// were stored; callers retry the whole batch.
///
/// *Reading.* A read sees all rows of every `append` that returned before it began. It sees rows
/// above the mark too, when another server's archiver has written them already: callers bound their
/// reads by an id.
///
/// Dropping a future is safe: a read has no effect, a write may or may not happen.
#[async_trait]
pub trait History: Send + Sync {
    /// Stores rows, in order. All of them are there when it returns.
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), PortError>;

    /// The marks of all partitions, by partition. One that has none is at offset 0, and its id is
    /// the one that the log's clock starts from: [`Id::ZERO`], or the last id of a log before this
    /// one.
    ///
    /// `Stops`: the rows were given to another log, or are gone, so these marks are no longer this
    /// log's.
    async fn marks(&self) -> Result<Vec<Mark>, PortError>;

    /// Moves a mark, after everything below was stored. One at or behind the stored mark changes
    /// nothing.
    async fn advance_mark(&self, partition: Partition, mark: Mark) -> Result<(), PortError>;

    /// Messages of a channel in a range, oldest first, at most `limit`.
    async fn messages(
        &self,
        channel: &ChannelName,
        range: MessageRange,
        limit: usize,
    ) -> Result<Vec<Message>, PortError>;

    /// Changes in a channel with `after < id < before`, oldest first, at most `limit`. The text of an
    /// edit is not kept: the message's row has the last one.
    async fn changes(
        &self,
        channel: &ChannelName,
        after: Id,
        before: Id,
        limit: usize,
    ) -> Result<Vec<Change>, PortError>;

    /// The id and number of a channel's last message with an id below `before`.
    async fn last_message_number(
        &self,
        channel: &ChannelName,
        before: Id,
    ) -> Result<Option<(Id, u64)>, PortError>;

    /// Members of a channel by name after a name, at most `limit`; those with role `none` too.
    async fn members(
        &self,
        channel: &ChannelName,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<Member>, PortError>;

    /// The channels of which a user is or was a member, by name, with the user's membership.
    async fn memberships(&self, user: &UserName) -> Result<Vec<(ChannelName, Member)>, PortError>;

    /// Fills in what the log says of channels: topic and archival. Leaves alone what it says nothing
    /// about.
    async fn fill_channel_state(&self, channels: &mut [Channel]) -> Result<(), PortError>;
}
