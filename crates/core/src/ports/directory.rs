//! What is decided by who comes first rather than by the log: names, login sessions, rows of files.
//!
//! Four ports share these rules:
//!
//! *Atomicity.* Every call stands alone and is atomic.
//!
//! *Visibility.* Once a write has returned, every read that begins later sees it, on any server.
//!
//! *Errors.* `Unavailable`: the store cannot be reached, is too slow or refuses for now; a write may
//! have happened. Repeating the same call is safe: if the first attempt was written, the second
//! answers as the first would have. `Broken`: a row cannot be read or written as it is; nothing was
//! written.
//!
//! *Dropping a future* is safe: a read has no effect, a write happens or does not.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::PortError;
use crate::domain::{Channel, ChannelName, File, FileId, LoginSession, User, UserName};

/// The outcome of creating something under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOutcome<T> {
    /// The name belongs to the given value; either from this call or from an earlier one with an
    /// equal value.
    Created,
    /// The name belongs to another value, which is unchanged.
    Exists(T),
}

/// Accounts, by user name. A name is never freed: nothing deletes an account.
#[async_trait]
pub trait Users: Send + Sync {
    /// Creates an account. Of several concurrent callers with one name, exactly one gets it.
    async fn create(&self, user: &User) -> Result<CreateOutcome<User>, PortError>;

    /// The account of this name, if there is one.
    async fn find(&self, name: &UserName) -> Result<Option<User>, PortError>;
}

/// Channels, by name. A name is never freed: nothing deletes a channel.
///
/// Topic and archival are decided by the log: no call here writes or returns them.
/// [`History::fill_channel_state`](super::History::fill_channel_state) adds them.
#[async_trait]
pub trait Channels: Send + Sync {
    /// Creates a channel; ignores its topic and archival. Of several concurrent callers with one
    /// name, exactly one gets it.
    async fn create(&self, channel: &Channel) -> Result<CreateOutcome<Channel>, PortError>;

    /// The channel of this name, if there is one. One round trip that reads one row.
    async fn find(&self, name: &ChannelName) -> Result<Option<Channel>, PortError>;

    /// Up to `limit` public channels whose names follow `after`, in the order of their names (by
    /// bytes); from the first one without `after`.
    async fn list_public(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<Channel>, PortError>;
}

/// Login sessions, by user and id. A store may delete a session a day after its end
/// (`expires_at_ms`).
#[async_trait]
pub trait LoginSessions: Send + Sync {
    /// Adds a session under a fresh id. If the id exists, the stored session stays as it is.
    async fn create(&self, session: &LoginSession) -> Result<(), PortError>;

    /// The session of this id, if this user has one.
    async fn find(&self, user: &UserName, id: Uuid) -> Result<Option<LoginSession>, PortError>;

    /// Compares and sets: replaces the stored session by `new` if it equals `old`. `old` and `new`
    /// have the same user and id.
    ///
    /// Returns true if `new` is stored, also if an earlier attempt stored it; false if the stored
    /// session is another one or there is none.
    async fn replace(&self, old: &LoginSession, new: &LoginSession) -> Result<bool, PortError>;
}

/// Rows of files, by id: what a file is, where its bytes are, and in which channels it was posted.
#[async_trait]
pub trait FileRows: Send + Sync {
    /// Writes the row of a file. The caller has made the bytes durable and uses each id for one file.
    async fn put(&self, file: &File) -> Result<(), PortError>;

    /// The row of this id, if there is one.
    async fn find(&self, id: FileId) -> Result<Option<File>, PortError>;

    /// Adds a channel to those in which a file was posted. Adding it again changes nothing.
    async fn mark_posted(&self, id: FileId, channel: &ChannelName) -> Result<(), PortError>;

    /// The channels in which a file was posted, each once, in any order; none for an unknown id.
    async fn posted_in(&self, id: FileId) -> Result<Vec<ChannelName>, PortError>;
}

/// The four ports of one store.
#[derive(Clone)]
pub struct Directory {
    pub users: Arc<dyn Users>,
    pub channels: Arc<dyn Channels>,
    pub login_sessions: Arc<dyn LoginSessions>,
    pub file_rows: Arc<dyn FileRows>,
}

impl Directory {
    /// The ports of a store that implements all of them.
    pub fn of<T>(store: Arc<T>) -> Directory
    where
        T: Users + Channels + LoginSessions + FileRows + 'static,
    {
        Directory {
            users: store.clone(),
            channels: store.clone(),
            login_sessions: store.clone(),
            file_rows: store,
        }
    }
}
