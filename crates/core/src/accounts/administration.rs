//! What admins do with the accounts of others. All of it is in the audit trail.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::invites::InviteCode;
use super::refusals::{
    admin_required, changed_meanwhile, invite_not_found, last_admin, taken, username_invalid,
};
use super::sessions::TRIES;
use super::{Accounts, Identity, password};
use crate::domain::{
    AuditEntry, AuditId, Invite, LoginSession, Problem, Secret, User, UserName, now_ms,
};
use crate::ports::AuditTrail;
use crate::ports::problem::directory_unavailable;

/// Accounts that are read in one call.
const READ_AT_ONCE: usize = 1_000;

/// The characters of a password that is made up: those that people don't confuse, 32 of them.
const PASSWORD_CHARACTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const PASSWORD_LENGTH: usize = 20;

/// The accounts, for admins.
pub struct Administration {
    accounts: Arc<Accounts>,
    audit_trail: Arc<dyn AuditTrail>,
}

/// Somebody who was an admin when the call began.
pub struct Admin {
    name: UserName,
    address: IpAddr,
}

/// What changes of an account.
#[derive(Debug, Default)]
pub struct AccountChange {
    pub disabled: Option<bool>,
    pub admin: Option<bool>,
    pub password: Option<String>,
}

impl AccountChange {
    fn actions(&self) -> impl Iterator<Item = &'static str> {
        let disabled = self
            .disabled
            .map(|yes| if yes { "disable" } else { "enable" });
        let admin = self
            .admin
            .map(|yes| if yes { "make_admin" } else { "remove_admin" });
        let password = self.password.as_ref().map(|_| "set_password");
        [disabled, admin, password].into_iter().flatten()
    }
}

impl Administration {
    pub fn new(accounts: Arc<Accounts>, audit_trail: Arc<dyn AuditTrail>) -> Administration {
        Administration {
            accounts,
            audit_trail,
        }
    }

    /// The caller, if an admin by what the directory says now; `admin_required` otherwise.
    pub async fn admin(&self, identity: &Identity, address: IpAddr) -> Result<Admin, Problem> {
        let found = self.accounts.ports.users.find(&identity.user).await;
        let found = found.map_err(directory_unavailable)?;
        match found.is_some_and(|user| user.is_active_admin()) {
            true => Ok(Admin {
                name: identity.user.clone(),
                address,
            }),
            false => Err(admin_required()),
        }
    }

    /// Accounts by name.
    pub async fn users(
        &self,
        _: &Admin,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<User>, Problem> {
        let users = self.accounts.ports.users.list(after, limit).await;
        users.map_err(directory_unavailable)
    }

    /// An account, and its logins.
    pub async fn user(
        &self,
        _: &Admin,
        name: &UserName,
    ) -> Result<(User, Vec<LoginSession>), Problem> {
        let user = self.accounts.user(name).await?;
        Ok((user, self.accounts.logins(name).await?))
    }

    /// Creates an account. Without a password it gets a random one, which is returned.
    pub async fn create(
        &self,
        by: &Admin,
        name: &str,
        password: Option<&str>,
        is_admin: bool,
    ) -> Result<(User, Option<Secret<String>>), Problem> {
        let name = UserName::parse(name).map_err(|_| username_invalid())?;
        let made_up = password.is_none().then(random_password);
        let password = password.or(made_up.as_ref().map(|made| made.expose().as_str()));
        let password = password::prepare(password.unwrap_or_default(), &name)?;
        if self.accounts.find(&name).await?.is_some() {
            return Err(taken(&name));
        }
        let action = if is_admin { "create_admin" } else { "create" };
        self.record(by, action, &name).await?;
        let user = self.accounts.store_new(name, password, is_admin).await?;
        Ok((user, made_up))
    }

    /// Changes an account. Disabling it, or setting its password, ends all its logins.
    ///
    /// After `directory_unavailable` any of that may have happened; a retry does the rest.
    pub async fn change(
        &self,
        by: &Admin,
        name: &UserName,
        change: &AccountChange,
    ) -> Result<User, Problem> {
        let password_hash = match &change.password {
            Some(password) => {
                let password = password::prepare(password, name)?;
                Some(self.accounts.known_logins.hash(password).await?)
            }
            None => None,
        };
        for tried in 0..TRIES {
            let old = self.accounts.user(name).await?;
            let new = User {
                is_disabled: change.disabled.unwrap_or(old.is_disabled),
                is_admin: change.admin.unwrap_or(old.is_admin),
                password_hash: password_hash.clone().unwrap_or(old.password_hash.clone()),
                ..old.clone()
            };
            let loses_admin = old.is_active_admin() && !new.is_active_admin();
            if loses_admin {
                self.require_admin_besides(name).await?;
            }
            if tried == 0 {
                for action in change.actions() {
                    self.record(by, action, name).await?;
                }
            }
            if !self.replace(&old, &new).await? {
                continue;
            }
            if loses_admin {
                self.undo_if_last(&old, &new).await?;
            }
            if change.disabled == Some(true) {
                self.accounts.end_account(name).await?;
            } else if change.password.is_some() {
                self.accounts.end_logins(name, |_| true).await?;
            }
            return Ok(new);
        }
        Err(changed_meanwhile())
    }

    /// Ends all logins of a user.
    pub async fn end_logins(&self, by: &Admin, name: &UserName) -> Result<(), Problem> {
        self.accounts.user(name).await?;
        self.record(by, "end_logins", name).await?;
        self.accounts.end_logins(name, |_| true).await
    }

    /// Makes an invite, and the code for those who are invited, which is shown only once.
    pub async fn invite(
        &self,
        by: &Admin,
        uses: u32,
        expires_at_ms: u64,
    ) -> Result<(Invite, Secret<String>), Problem> {
        let code = InviteCode::random();
        let invite = code.invite(uses, expires_at_ms, &by.name);
        self.record(by, "create_invite", &invite.id).await?;
        let created = self.accounts.ports.invites.create(&invite).await;
        created.map_err(directory_unavailable)?;
        Ok((invite, Secret::new(code.text().to_owned())))
    }

    /// Invites by id, also those that are over.
    pub async fn invites(
        &self,
        _: &Admin,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Invite>, Problem> {
        let invites = self.accounts.ports.invites.list(after, limit).await;
        invites.map_err(directory_unavailable)
    }

    /// Ends an invite; `invite_not_found` if there is none.
    pub async fn end_invite(&self, by: &Admin, id: Uuid) -> Result<(), Problem> {
        for tried in 0..TRIES {
            let found = self.accounts.ports.invites.find(id).await;
            let invite = found.map_err(directory_unavailable)?;
            let invite = invite.ok_or_else(invite_not_found)?;
            if tried == 0 {
                self.record(by, "end_invite", &id).await?;
            }
            let ended = Invite {
                expires_at_ms: invite.expires_at_ms.min(now_ms()),
                ..invite.with_uses(0)
            };
            let replaced = self.accounts.ports.invites.replace(&invite, &ended).await;
            if replaced.map_err(directory_unavailable)? {
                return Ok(());
            }
        }
        Err(changed_meanwhile())
    }

    /// What admins have done, the latest first; `after` is the last entry of the page before.
    pub async fn audit(
        &self,
        _: &Admin,
        after: Option<&AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, Problem> {
        let entries = self.audit_trail.list(after, limit).await;
        entries.map_err(directory_unavailable)
    }

    async fn replace(&self, old: &User, new: &User) -> Result<bool, Problem> {
        let replaced = self.accounts.ports.users.replace(old, new).await;
        replaced.map_err(directory_unavailable)
    }

    /// Two admins who remove each other at the same time may both have seen the other. After it, at
    /// least one of them sees that nobody is left.
    async fn undo_if_last(&self, old: &User, new: &User) -> Result<(), Problem> {
        let checked = self.require_admin_besides(&old.name).await;
        if checked.is_err() {
            self.replace(new, old).await?;
        }
        checked
    }

    /// `last_admin` unless somebody else is an admin who can log in.
    async fn require_admin_besides(&self, name: &UserName) -> Result<(), Problem> {
        let mut after = None;
        loop {
            let users = self
                .accounts
                .ports
                .users
                .list(after.as_ref(), READ_AT_ONCE)
                .await;
            let users = users.map_err(directory_unavailable)?;
            let is_other = |user: &User| user.is_active_admin() && user.name != *name;
            if users.iter().any(is_other) {
                return Ok(());
            }
            after = match users.into_iter().next_back() {
                Some(last) => Some(last.name),
                None => return Err(last_admin()),
            };
        }
    }

    /// Before it is done: nothing is done that isn't in the audit trail.
    async fn record(&self, by: &Admin, action: &str, whom: &impl ToString) -> Result<(), Problem> {
        let at_ms = now_ms();
        let entry = AuditEntry {
            id: AuditId::random(at_ms),
            at_ms,
            by: by.name.to_string(),
            action: action.to_owned(),
            user: whom.to_string(),
            address: Some(by.address),
        };
        tracing::info!(by = %by.name, action, whom = entry.user, "admin action");
        let appended = self.audit_trail.append(&entry).await;
        appended.map_err(directory_unavailable)
    }
}

fn random_password() -> Secret<String> {
    let random: [u8; PASSWORD_LENGTH] = rand::random();
    let characters = random.map(|byte| char::from(PASSWORD_CHARACTERS[usize::from(byte % 32)]));
    Secret::new(characters.iter().collect())
}
