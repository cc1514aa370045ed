//! Names, logins and files: what is decided by who comes first rather than by the log.

use async_trait::async_trait;
use uuid::Uuid;

use super::PortError;
use crate::domain::{Channel, ChannelName, File, FileId, LoginSession, User, UserName};

/// What became of a name that somebody wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOutcome<T> {
    /// It is theirs now.
    Created,
    /// It was taken before; by what.
    Exists(T),
}

/// Users, channels, login sessions and files, each found by its key.
///
/// Every call stands alone and is atomic: of several who want one name, one gets it. What a call
/// that returned has written, every later read on any server sees. `Unavailable` leaves it open
/// whether a write happened; a retry of the same call is safe and, where the first try happened,
/// answers as if it were the first (a name made by the very same value counts as made).
///
/// Names are never free again: nothing here deletes a user or a channel.
///
/// Dropping a future is safe: a read has no effect, a write may or may not happen.
#[async_trait]
pub trait Directory: Send + Sync {
    async fn create_user(&self, user: &User) -> Result<CreateOutcome<User>, PortError>;

    async fn user(&self, name: &UserName) -> Result<Option<User>, PortError>;

    /// Makes a channel. Topic and archival are the log's and are not written here.
    async fn create_channel(&self, channel: &Channel) -> Result<CreateOutcome<Channel>, PortError>;

    /// A channel, without topic and archival ([`super::History::describe`] has those).
    async fn channel(&self, name: &ChannelName) -> Result<Option<Channel>, PortError>;

    /// Public channels by name after a name, at most `limit`, without topic and archival.
    async fn public_channels(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<Channel>, PortError>;

    /// Starts a login session. From a day after its end on it may be forgotten.
    async fn create_session(&self, session: &LoginSession) -> Result<(), PortError>;

    async fn session(&self, user: &UserName, id: Uuid) -> Result<Option<LoginSession>, PortError>;

    /// Replaces a login session if it still is `old`; tells whether it was.
    async fn replace_session(
        &self,
        old: &LoginSession,
        new: &LoginSession,
    ) -> Result<bool, PortError>;

    /// Writes the row of a file whose bytes are in place.
    async fn put_file(&self, file: &File) -> Result<(), PortError>;

    async fn file(&self, id: FileId) -> Result<Option<File>, PortError>;

    /// Says that a file was posted in a channel: who may read the channel may read the file.
    async fn post_file(&self, id: FileId, channel: &ChannelName) -> Result<(), PortError>;

    /// The channels in which a file was posted.
    async fn posted_in(&self, id: FileId) -> Result<Vec<ChannelName>, PortError>;

    /// Whether it answers: one round trip to where the rows are that reads at most one of them. Asked
    /// about once a second for each server, and not again before it has answered. An error is why it
    /// can't be read now, for an operator's eyes.
    async fn check(&self) -> Result<(), PortError>;
}
