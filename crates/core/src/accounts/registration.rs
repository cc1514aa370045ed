//! Who may have an account, and under which names and passwords.

use super::invites::InviteCode;
use super::login_client::LoginClient;
use super::refusals::{registration_closed, reserved, taken, username_invalid};
use super::{Accounts, Login, hasher, password, throttled};
use crate::domain::{AuditEntry, AuditId, Code, Problem, User, UserName, now_ms};
use crate::ports::directory::CreateOutcome;
use crate::ports::problem::directory_unavailable;
use crate::ports::{AuditTrail, Users};

/// Who may register an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Whoever reaches the server.
    Open,
    /// Whoever has an invite.
    Invite,
    /// Nobody: operators create the accounts.
    Closed,
}

/// Names that others could take for the service or its operators. Only operators give them away.
const RESERVED: [&str; 20] = [
    "abuse",
    "admin",
    "administrator",
    "channel",
    "everyone",
    "general",
    "help",
    "here",
    "lakechat",
    "moderator",
    "official",
    "operator",
    "postmaster",
    "root",
    "security",
    "server",
    "staff",
    "support",
    "system",
    "webmaster",
];

impl Accounts {
    /// Creates an account and logs in. The invite counts only where registering takes one.
    ///
    /// After `directory_unavailable` the account may exist. A second attempt then fails with
    /// `username_taken`, and a login with the password succeeds.
    pub async fn register(
        &self,
        from: impl Into<LoginClient>,
        username: &str,
        password: &str,
        invite: Option<&str>,
    ) -> Result<Login, Problem> {
        let from = from.into();
        if self.registration == Registration::Closed {
            return Err(registration_closed());
        }
        let name = UserName::parse(username).map_err(|_| username_invalid())?;
        if RESERVED.contains(&name.as_str()) {
            return Err(reserved(&name));
        }
        let password = password::prepare(password, &name)?;
        self.throttle
            .admit_registration(from.address)
            .map_err(throttled)?;
        let invite = match self.registration {
            Registration::Invite => Some(self.check_invite(invite).await?),
            Registration::Open | Registration::Closed => None,
        };
        // Before the hash, because a hash costs a thousand times as much as a lookup.
        if self.find(&name).await?.is_some() {
            return Err(taken(&name));
        }
        let user = self.store_invited(name, password, invite.as_ref()).await?;
        self.throttle.succeeded(&user.name, from.address);
        self.start_session(&user, from).await
    }
}

impl Accounts {
    /// Stores an account, for a use of the invite if there is one.
    async fn store_invited(
        &self,
        name: UserName,
        password: String,
        invite: Option<&InviteCode>,
    ) -> Result<User, Problem> {
        let Some(invite) = invite else {
            return self.store_new(name, password, false).await;
        };
        self.use_invite(invite).await?;
        let stored = self.store_new(name, password, false).await;
        // After `directory_unavailable` the account may exist.
        if stored
            .as_ref()
            .is_err_and(|problem| problem.code != Code::DirectoryUnavailable)
        {
            self.give_back(invite).await?;
        }
        stored
    }

    /// Stores an account with a password that was prepared.
    pub(super) async fn store_new(
        &self,
        name: UserName,
        password: String,
        is_admin: bool,
    ) -> Result<User, Problem> {
        let user = User {
            password_hash: self.registrations.hash(password).await?,
            created_at_ms: now_ms(),
            name,
            is_admin,
            is_disabled: false,
        };
        store(&*self.ports.users, &user).await?;
        tracing::info!(user = %user.name, "account registered");
        metrics::counter!("lakechat_registrations_total").increment(1);
        Ok(user)
    }
}

/// Creates the account of an admin without a server. Blocks for the time of a hash.
///
/// After `directory_unavailable` the account may exist.
pub async fn create_admin(
    users: &dyn Users,
    audit_trail: &dyn AuditTrail,
    name: UserName,
    password: &str,
) -> Result<(), Problem> {
    let password = password::prepare(password, &name)?;
    let found = users.find(&name).await.map_err(directory_unavailable)?;
    if found.is_some() {
        return Err(taken(&name));
    }
    let now_ms = now_ms();
    let entry = AuditEntry {
        id: AuditId::random(now_ms),
        at_ms: now_ms,
        by: AuditEntry::COMMAND_LINE.to_owned(),
        action: "create_admin".to_owned(),
        user: name.to_string(),
        address: None,
    };
    let appended = audit_trail.append(&entry).await;
    appended.map_err(directory_unavailable)?;
    let user = User {
        password_hash: hasher::hash(&password)?,
        created_at_ms: now_ms,
        name,
        is_admin: true,
        is_disabled: false,
    };
    store(users, &user).await
}

async fn store(users: &dyn Users, user: &User) -> Result<(), Problem> {
    match users.create(user).await {
        Ok(CreateOutcome::Created) => Ok(()),
        Ok(CreateOutcome::Exists(_)) => Err(taken(&user.name)),
        Err(error) => Err(directory_unavailable(error)),
    }
}
