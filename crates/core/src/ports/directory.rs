//! The directory: what the first writer decides and not the log. These are names, login sessions
//! and the rows of files.
//!
//! The eight ports share these rules:
//!
//! *Atomicity.* Every call is atomic and independent of other calls.
//!
//! *Visibility.* Once a write has returned, every read that begins later sees it, on any server.
//!
//! *Errors.* `Unavailable`: the store can't be reached, is too slow or refuses for now. A write may
//! have happened. Repeating the same call is safe: if the first attempt was written, the second one
//! returns what the first one would have returned. `Broken`: a row or the schema is not as lakechat
//! needs it, or the database failed. An operator has to act, and a write may have happened.
//!
//! *Dropping a future* is safe: a read has no effect, and a write happens completely or not at all.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::PortError;
use crate::domain::{
    AuditEntry, AuditId, Channel, ChannelName, File, FileId, Invite, LoginSession, Membership,
    Upload, User, UserName,
};

/// The outcome of creating something under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOutcome<T> {
    /// The name belongs to the given value. It was created by this call, or by an earlier call with
    /// an equal value.
    Created,
    /// The name belongs to another value, which is unchanged.
    Exists(T),
}

/// Accounts, by user name. Nothing deletes an account, so a name is never reused.
#[async_trait]
pub trait Users: Send + Sync {
    /// Creates an account. If several callers create the same name at once, exactly one succeeds.
    async fn create(&self, user: &User) -> Result<CreateOutcome<User>, PortError>;

    /// The account with this name, if there is one.
    async fn find(&self, name: &UserName) -> Result<Option<User>, PortError>;

    /// Up to `limit` accounts whose names follow `after`, ordered by name (by bytes). Without `after`,
    /// it begins with the first.
    async fn list(&self, after: Option<&UserName>, limit: usize) -> Result<Vec<User>, PortError>;

    /// Compare-and-set: replaces the stored account by `new` if it equals `old`. Both have the same
    /// name.
    ///
    /// Returns true if `new` is stored, also if an earlier attempt stored it. Returns false if there
    /// is no account, or one that equals neither.
    async fn replace(&self, old: &User, new: &User) -> Result<bool, PortError>;
}

/// Channels, by name. Nothing deletes a channel, so a name is never reused.
///
/// The log decides topic and archival, so these calls neither write nor return them.
/// [`History::fill_channel_state`](super::History::fill_channel_state) adds them.
#[async_trait]
pub trait Channels: Send + Sync {
    /// Creates a channel; ignores its topic and archival. If several callers create the same name
    /// at once, exactly one succeeds.
    async fn create(&self, channel: &Channel) -> Result<CreateOutcome<Channel>, PortError>;

    /// The channel with this name, if there is one. Reads one row in one round trip.
    async fn find(&self, name: &ChannelName) -> Result<Option<Channel>, PortError>;

    /// Up to `limit` public channels whose names follow `after`, ordered by name (by bytes).
    /// Without `after`, it begins with the first.
    async fn list_public(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<Channel>, PortError>;
}

/// Login sessions, by user and id. A store may delete sessions that have expired (`expires_at_ms`),
/// and the oldest sessions of a user who has hundreds.
#[async_trait]
pub trait LoginSessions: Send + Sync {
    /// Stores a session under a random id. If the id exists, an earlier attempt stored it; the
    /// stored session stays as it is.
    async fn create(&self, session: &LoginSession) -> Result<(), PortError>;

    /// The user's session with this id, if there is one.
    async fn find(&self, user: &UserName, id: Uuid) -> Result<Option<LoginSession>, PortError>;

    /// The sessions with these users and ids, in their order; `None` for one that doesn't exist. Each
    /// is read after the call has begun.
    async fn find_all(
        &self,
        keys: &[(UserName, Uuid)],
    ) -> Result<Vec<Option<LoginSession>>, PortError> {
        let mut found = Vec::with_capacity(keys.len());
        for (user, id) in keys {
            found.push(self.find(user, *id).await?);
        }
        Ok(found)
    }

    /// The user's sessions, in any order. Expired and revoked ones may be among them.
    async fn of_user(&self, user: &UserName) -> Result<Vec<LoginSession>, PortError>;

    /// Compare-and-set: replaces the stored session by `new` if it equals `old`. Both have the same
    /// user and id.
    ///
    /// Returns true if `new` is stored, also if an earlier attempt stored it. Returns false if
    /// there is no session, or one that equals neither.
    async fn replace(&self, old: &LoginSession, new: &LoginSession) -> Result<bool, PortError>;
}

/// What a server has to know of a user who connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRow {
    /// The login session that was asked for, if the user has it.
    pub login_session: Option<LoginSession>,
    /// The same as [`History::memberships`](super::History::memberships).
    pub memberships: Vec<Membership>,
}

/// What a connect reads, in one call: after the end of a server all its users connect to others.
#[async_trait]
pub trait UserRows: Send + Sync {
    /// The user's login session with this id, and the user's memberships. Both are read after the
    /// call has begun, and not necessarily at the same moment. An unknown user has neither.
    async fn find(&self, user: &UserName, login_session: Uuid) -> Result<UserRow, PortError>;
}

/// The rows of files, by id: a file's properties, the location of its bytes, and the channels in
/// which it was posted.
#[async_trait]
pub trait FileRows: Send + Sync {
    /// Writes the row of a file. The caller has made the bytes durable before, and uses each id for
    /// one file only.
    async fn put(&self, file: &File) -> Result<(), PortError>;

    /// The file with this id, if it has a row.
    async fn find(&self, id: FileId) -> Result<Option<File>, PortError>;

    /// Up to `limit` files whose ids follow `after`, ordered by id. Without `after`, it begins with the
    /// first. Small files come with their bytes.
    async fn list(&self, after: Option<FileId>, limit: usize) -> Result<Vec<File>, PortError>;

    /// Removes the row of a file, and the channels in which it was posted. Removing it again has no
    /// effect.
    async fn remove(&self, id: FileId) -> Result<(), PortError>;

    /// Adds a channel to those in which a file was posted. Adding it again has no effect.
    async fn mark_posted(&self, id: FileId, channel: &ChannelName) -> Result<(), PortError>;

    /// The channels in which a file was posted, each once and in any order. Empty for an unknown
    /// id.
    async fn posted_in(&self, id: FileId) -> Result<Vec<ChannelName>, PortError>;
}

/// The rows of resumable uploads, by the id that their file will have.
#[async_trait]
pub trait UploadRows: Send + Sync {
    /// Writes the row of an upload, if its id has none. Returns true if the row is stored, also if an
    /// earlier attempt stored it. Returns false if the id has another row, which is unchanged.
    async fn create(&self, upload: &Upload) -> Result<bool, PortError>;

    /// The upload with this id, if it has a row.
    async fn find(&self, id: FileId) -> Result<Option<Upload>, PortError>;

    /// Compare-and-set: replaces the stored upload by `new` if it equals `old`. Both have the same id.
    ///
    /// Returns true if `new` is stored, also if an earlier attempt stored it. Returns false if there is
    /// no row, or one that equals neither.
    async fn replace(&self, old: &Upload, new: &Upload) -> Result<bool, PortError>;

    /// Removes the row of an upload. Removing it again has no effect.
    async fn remove(&self, id: FileId) -> Result<(), PortError>;

    /// Up to `limit` uploads whose ids follow `after`, ordered by id. Without `after`, it begins with
    /// the first.
    async fn list(&self, after: Option<FileId>, limit: usize) -> Result<Vec<Upload>, PortError>;
}

/// What admins have done. Nothing removes an entry.
#[async_trait]
pub trait AuditTrail: Send + Sync {
    /// Writes an entry under its id, which no other entry has.
    async fn append(&self, entry: &AuditEntry) -> Result<(), PortError>;

    /// Up to `limit` entries with smaller ids than `before`, the largest first. Without `before`, it
    /// begins with the largest of all.
    async fn list(
        &self,
        before: Option<&AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError>;
}

/// Invites, by id. Nothing deletes one.
#[async_trait]
pub trait Invites: Send + Sync {
    /// Stores an invite under a random id. If the id exists, an earlier attempt stored it; the stored
    /// invite stays as it is.
    async fn create(&self, invite: &Invite) -> Result<(), PortError>;

    /// The invite with this id, if there is one.
    async fn find(&self, id: Uuid) -> Result<Option<Invite>, PortError>;

    /// Up to `limit` invites whose ids follow `after`, ordered by id. Without `after`, it begins with
    /// the first.
    async fn list(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<Invite>, PortError>;

    /// Compare-and-set, as [`Users::replace`]. The revision tells an earlier attempt of this call from
    /// another caller.
    async fn replace(&self, old: &Invite, new: &Invite) -> Result<bool, PortError>;
}

/// The eight ports of the directory.
#[derive(Clone)]
pub struct Directory {
    pub users: Arc<dyn Users>,
    pub channels: Arc<dyn Channels>,
    pub login_sessions: Arc<dyn LoginSessions>,
    pub user_rows: Arc<dyn UserRows>,
    pub file_rows: Arc<dyn FileRows>,
    pub upload_rows: Arc<dyn UploadRows>,
    pub audit_trail: Arc<dyn AuditTrail>,
    pub invites: Arc<dyn Invites>,
}

impl Directory {
    /// The ports of one store that implements all eight.
    pub fn of<T>(store: Arc<T>) -> Directory
    where
        T: Users
            + Channels
            + LoginSessions
            + UserRows
            + FileRows
            + UploadRows
            + AuditTrail
            + Invites
            + 'static,
    {
        Directory {
            users: store.clone(),
            channels: store.clone(),
            login_sessions: store.clone(),
            user_rows: store.clone(),
            file_rows: store.clone(),
            upload_rows: store.clone(),
            audit_trail: store.clone(),
            invites: store,
        }
    }
}
