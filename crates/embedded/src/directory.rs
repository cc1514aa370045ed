//! The directory as tables of the database: users, channels, login sessions, rows of files
//! and of uploads.

mod audit_trail;
mod channels;
mod files;
mod invites;
mod uploads;
mod users;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::engine::Engine;
use super::history;
use super::part;
use lakechat_core::domain::{
    AuditEntry, AuditId, Channel, ChannelName, File, FileId, Invite, LoginSession, Upload, User,
    UserName,
};
use lakechat_core::ports::directory::{CreateOutcome, UserRow};
use lakechat_core::ports::{
    AuditTrail, Channels, FileRows, Invites, LoginSessions, PortError, UploadRows, UserRows, Users,
};

pub(super) struct SqliteDirectory {
    engine: Arc<Engine>,
}

impl SqliteDirectory {
    pub fn new(engine: Arc<Engine>) -> SqliteDirectory {
        SqliteDirectory { engine }
    }
}

#[async_trait]
impl Users for SqliteDirectory {
    async fn create(&self, user: &User) -> Result<CreateOutcome<User>, PortError> {
        let user = user.clone();
        let write = move |db: &_| users::create(db, &user);
        self.engine.write(part::DIRECTORY, write).await
    }

    async fn find(&self, name: &UserName) -> Result<Option<User>, PortError> {
        let name = name.clone();
        self.engine
            .read(part::DIRECTORY, move |db| users::find(db, &name))
            .await
    }

    async fn list(&self, after: Option<&UserName>, limit: usize) -> Result<Vec<User>, PortError> {
        let after = after.cloned();
        let read = move |db: &_| users::list(db, after.as_ref(), limit);
        self.engine.read(part::DIRECTORY, read).await
    }

    async fn replace(&self, old: &User, new: &User) -> Result<bool, PortError> {
        let (old, new) = (old.clone(), new.clone());
        let write = move |db: &_| users::replace(db, &old, &new);
        self.engine.write(part::DIRECTORY, write).await
    }
}

#[async_trait]
impl Channels for SqliteDirectory {
    async fn create(&self, channel: &Channel) -> Result<CreateOutcome<Channel>, PortError> {
        let channel = channel.clone();
        let write = move |db: &_| channels::create(db, &channel);
        self.engine.write(part::DIRECTORY, write).await
    }

    async fn find(&self, name: &ChannelName) -> Result<Option<Channel>, PortError> {
        let name = name.clone();
        let read = move |db: &_| channels::find(db, &name);
        self.engine.read(part::DIRECTORY, read).await
    }

    async fn list_public(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<Channel>, PortError> {
        let after = after.cloned();
        let read = move |db: &_| channels::public(db, after.as_ref(), limit);
        self.engine.read(part::DIRECTORY, read).await
    }
}

#[async_trait]
impl LoginSessions for SqliteDirectory {
    async fn create(&self, session: &LoginSession) -> Result<(), PortError> {
        let session = session.clone();
        let pending = self.engine.session_cache.begin_write(vec![key(&session)]);
        let write = move |db: &_| users::create_session(db, &session).map(|()| pending);
        self.engine.write(part::DIRECTORY, write).await.map(drop)
    }

    async fn find(&self, user: &UserName, id: Uuid) -> Result<Option<LoginSession>, PortError> {
        let key = (user.clone(), id);
        let user = user.clone();
        let read = move |db: &_| users::session(db, &user, id);
        let cache = &self.engine.session_cache;
        cache
            .get(key, self.engine.read(part::DIRECTORY, read))
            .await
    }

    async fn of_user(&self, user: &UserName) -> Result<Vec<LoginSession>, PortError> {
        let user = user.clone();
        let read = move |db: &_| users::sessions_of(db, &user);
        self.engine.read(part::DIRECTORY, read).await
    }

    async fn replace(&self, old: &LoginSession, new: &LoginSession) -> Result<bool, PortError> {
        let (old, new) = (old.clone(), new.clone());
        let pending = self.engine.session_cache.begin_write(vec![key(&old)]);
        let write = move |db: &_| Ok((users::replace_session(db, &old, &new)?, pending));
        let (replaced, _pending) = self.engine.write(part::DIRECTORY, write).await?;
        Ok(replaced)
    }
}

#[async_trait]
impl UserRows for SqliteDirectory {
    async fn find(&self, user: &UserName, login_session: Uuid) -> Result<UserRow, PortError> {
        Ok(UserRow {
            login_session: LoginSessions::find(self, user, login_session).await?,
            memberships: history::memberships(&self.engine, user).await?,
        })
    }
}

#[async_trait]
impl FileRows for SqliteDirectory {
    async fn put(&self, file: &File) -> Result<(), PortError> {
        let file = file.clone();
        self.engine
            .write(part::DIRECTORY, move |db| files::put(db, &file))
            .await
    }

    async fn find(&self, id: FileId) -> Result<Option<File>, PortError> {
        self.engine
            .read(part::DIRECTORY, move |db| files::find(db, id))
            .await
    }

    async fn list(&self, after: Option<FileId>, limit: usize) -> Result<Vec<File>, PortError> {
        let read = move |db: &_| files::list(db, after, limit);
        self.engine.read(part::DIRECTORY, read).await
    }

    async fn remove(&self, id: FileId) -> Result<(), PortError> {
        self.engine
            .write(part::DIRECTORY, move |db| files::remove(db, id))
            .await
    }

    async fn mark_posted(&self, id: FileId, channel: &ChannelName) -> Result<(), PortError> {
        let channel = channel.clone();
        let write = move |db: &_| files::post(db, id, &channel);
        self.engine.write(part::DIRECTORY, write).await
    }

    async fn posted_in(&self, id: FileId) -> Result<Vec<ChannelName>, PortError> {
        let read = move |db: &_| files::posted_in(db, id);
        self.engine.read(part::DIRECTORY, read).await
    }
}

#[async_trait]
impl UploadRows for SqliteDirectory {
    async fn create(&self, upload: &Upload) -> Result<bool, PortError> {
        let upload = upload.clone();
        self.engine
            .write(part::DIRECTORY, move |db| uploads::create(db, &upload))
            .await
    }

    async fn find(&self, id: FileId) -> Result<Option<Upload>, PortError> {
        self.engine
            .read(part::DIRECTORY, move |db| uploads::find(db, id))
            .await
    }

    async fn replace(&self, old: &Upload, new: &Upload) -> Result<bool, PortError> {
        let (old, new) = (old.clone(), new.clone());
        self.engine
            .write(part::DIRECTORY, move |db| uploads::replace(db, &old, &new))
            .await
    }

    async fn remove(&self, id: FileId) -> Result<(), PortError> {
        self.engine
            .write(part::DIRECTORY, move |db| uploads::remove(db, id))
            .await
    }

    async fn list(&self, after: Option<FileId>, limit: usize) -> Result<Vec<Upload>, PortError> {
        let read = move |db: &_| uploads::list(db, after, limit);
        self.engine.read(part::DIRECTORY, read).await
    }
}

#[async_trait]
impl AuditTrail for SqliteDirectory {
    async fn append(&self, entry: &AuditEntry) -> Result<(), PortError> {
        let entry = entry.clone();
        let write = move |db: &_| audit_trail::append(db, &entry);
        self.engine.write(part::DIRECTORY, write).await
    }

    async fn list(
        &self,
        before: Option<&AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        let before = before.cloned();
        let read = move |db: &_| audit_trail::list(db, before.as_ref(), limit);
        self.engine.read(part::DIRECTORY, read).await
    }
}

#[async_trait]
impl Invites for SqliteDirectory {
    async fn create(&self, invite: &Invite) -> Result<(), PortError> {
        let invite = invite.clone();
        let write = move |db: &_| invites::create(db, &invite);
        self.engine.write(part::DIRECTORY, write).await
    }

    async fn find(&self, id: Uuid) -> Result<Option<Invite>, PortError> {
        let read = move |db: &_| invites::find(db, id);
        self.engine.read(part::DIRECTORY, read).await
    }

    async fn list(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<Invite>, PortError> {
        let read = move |db: &_| invites::list(db, after, limit);
        self.engine.read(part::DIRECTORY, read).await
    }

    async fn replace(&self, old: &Invite, new: &Invite) -> Result<bool, PortError> {
        let (old, new) = (old.clone(), new.clone());
        let write = move |db: &_| invites::replace(db, &old, &new);
        self.engine.write(part::DIRECTORY, write).await
    }
}

fn key(session: &LoginSession) -> (UserName, Uuid) {
    (session.user.clone(), session.id)
}
