//! Users, channels, login sessions, files and uploads in HBase.

mod audit_trail;
mod channels;
mod files;
mod invites;
mod sessions;
mod uploads;
mod user_rows;
mod users;
mod values;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use self::user_rows::UserRowReads;
use super::client::Client;
use super::error::HBaseError;
use lakechat_core::domain::{
    AuditEntry, AuditId, Channel, ChannelName, File, FileId, Invite, LoginSession, Upload, User,
    UserName,
};
use lakechat_core::ports::directory::{CreateOutcome, UserRow};
use lakechat_core::ports::{
    AuditTrail, Channels, FileRows, Invites, LoginSessions, PortError, UploadRows, UserRows, Users,
};

const PART: &str = "directory";

pub(super) struct HBaseDirectory {
    client: Arc<Client>,
    user_rows: UserRowReads,
}

impl HBaseDirectory {
    pub fn new(client: Arc<Client>) -> HBaseDirectory {
        HBaseDirectory {
            user_rows: UserRowReads::new(client.clone()),
            client,
        }
    }
}

fn port_error(error: HBaseError) -> PortError {
    error.into_port_error(PART)
}

#[async_trait]
impl Users for HBaseDirectory {
    async fn create(&self, user: &User) -> Result<CreateOutcome<User>, PortError> {
        users::create(&self.client, user).await.map_err(port_error)
    }

    async fn find(&self, name: &UserName) -> Result<Option<User>, PortError> {
        users::find(&self.client, name).await.map_err(port_error)
    }

    async fn list(&self, after: Option<&UserName>, limit: usize) -> Result<Vec<User>, PortError> {
        let found = users::list(&self.client, after, limit);
        found.await.map_err(port_error)
    }

    async fn replace(&self, old: &User, new: &User) -> Result<bool, PortError> {
        let replaced = users::replace(&self.client, old, new);
        replaced.await.map_err(port_error)
    }
}

#[async_trait]
impl Channels for HBaseDirectory {
    async fn create(&self, channel: &Channel) -> Result<CreateOutcome<Channel>, PortError> {
        channels::create(&self.client, channel)
            .await
            .map_err(port_error)
    }

    async fn find(&self, name: &ChannelName) -> Result<Option<Channel>, PortError> {
        channels::find(&self.client, name).await.map_err(port_error)
    }

    async fn list_public(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<Channel>, PortError> {
        let found = channels::public(&self.client, after, limit);
        found.await.map_err(port_error)
    }
}

#[async_trait]
impl LoginSessions for HBaseDirectory {
    async fn create(&self, session: &LoginSession) -> Result<(), PortError> {
        sessions::create(&self.client, session)
            .await
            .map_err(port_error)
    }

    async fn find(&self, user: &UserName, id: Uuid) -> Result<Option<LoginSession>, PortError> {
        sessions::find(&self.client, user, id)
            .await
            .map_err(port_error)
    }

    async fn find_all(
        &self,
        keys: &[(UserName, Uuid)],
    ) -> Result<Vec<Option<LoginSession>>, PortError> {
        let found = sessions::find_all(&self.client, keys);
        found.await.map_err(port_error)
    }

    async fn of_user(&self, user: &UserName) -> Result<Vec<LoginSession>, PortError> {
        sessions::of_user(&self.client, user)
            .await
            .map_err(port_error)
    }

    async fn replace(&self, old: &LoginSession, new: &LoginSession) -> Result<bool, PortError> {
        sessions::replace(&self.client, old, new)
            .await
            .map_err(port_error)
    }
}

#[async_trait]
impl UserRows for HBaseDirectory {
    async fn find(&self, user: &UserName, login_session: Uuid) -> Result<UserRow, PortError> {
        let found = self.user_rows.find(user, login_session);
        found.await.map_err(port_error)
    }
}

#[async_trait]
impl AuditTrail for HBaseDirectory {
    async fn append(&self, entry: &AuditEntry) -> Result<(), PortError> {
        let appended = audit_trail::append(&self.client, entry);
        appended.await.map_err(port_error)
    }

    async fn list(
        &self,
        before: Option<&AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        let found = audit_trail::list(&self.client, before, limit);
        found.await.map_err(port_error)
    }
}

#[async_trait]
impl FileRows for HBaseDirectory {
    async fn put(&self, file: &File) -> Result<(), PortError> {
        files::put(&self.client, file).await.map_err(port_error)
    }

    async fn find(&self, id: FileId) -> Result<Option<File>, PortError> {
        files::find(&self.client, id).await.map_err(port_error)
    }

    async fn list(&self, after: Option<FileId>, limit: usize) -> Result<Vec<File>, PortError> {
        let found = files::list(&self.client, after, limit);
        found.await.map_err(port_error)
    }

    async fn remove(&self, id: FileId) -> Result<(), PortError> {
        files::remove(&self.client, id).await.map_err(port_error)
    }

    async fn mark_posted(&self, id: FileId, channel: &ChannelName) -> Result<(), PortError> {
        files::post(&self.client, id, channel)
            .await
            .map_err(port_error)
    }

    async fn posted_in(&self, id: FileId) -> Result<Vec<ChannelName>, PortError> {
        files::posted_in(&self.client, id).await.map_err(port_error)
    }
}

#[async_trait]
impl UploadRows for HBaseDirectory {
    async fn create(&self, upload: &Upload) -> Result<bool, PortError> {
        let created = uploads::create(&self.client, upload);
        created.await.map_err(port_error)
    }

    async fn find(&self, id: FileId) -> Result<Option<Upload>, PortError> {
        uploads::find(&self.client, id).await.map_err(port_error)
    }

    async fn replace(&self, old: &Upload, new: &Upload) -> Result<bool, PortError> {
        let replaced = uploads::replace(&self.client, old, new);
        replaced.await.map_err(port_error)
    }

    async fn remove(&self, id: FileId) -> Result<(), PortError> {
        uploads::remove(&self.client, id).await.map_err(port_error)
    }

    async fn list(&self, after: Option<FileId>, limit: usize) -> Result<Vec<Upload>, PortError> {
        let found = uploads::list(&self.client, after, limit);
        found.await.map_err(port_error)
    }
}

#[async_trait]
impl Invites for HBaseDirectory {
    async fn create(&self, invite: &Invite) -> Result<(), PortError> {
        let created = invites::create(&self.client, invite);
        created.await.map_err(port_error)
    }

    async fn find(&self, id: Uuid) -> Result<Option<Invite>, PortError> {
        invites::find(&self.client, id).await.map_err(port_error)
    }

    async fn list(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<Invite>, PortError> {
        let found = invites::list(&self.client, after, limit);
        found.await.map_err(port_error)
    }

    async fn replace(&self, old: &Invite, new: &Invite) -> Result<bool, PortError> {
        let replaced = invites::replace(&self.client, old, new);
        replaced.await.map_err(port_error)
    }
}
