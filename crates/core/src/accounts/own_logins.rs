//! What users do with their own password and logins.

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::login_client::LoginClient;
use super::refusals::changed_meanwhile;
use super::{Accounts, Identity, password};
use crate::domain::{Code, LoginSession, Problem, User, UserName, now_ms};
use crate::ports::problem::directory_unavailable;

/// Logins that are ended at the same time, of one request.
const ENDED_AT_ONCE: usize = 16;

impl Accounts {
    /// Changes the caller's password, and ends the user's other logins. Wrong passwords count as in
    /// [`Accounts::login`].
    ///
    /// After `directory_unavailable` the password may be the new one, and other logins may go on.
    pub async fn change_password(
        &self,
        from: impl Into<LoginClient>,
        identity: &Identity,
        old: &str,
        new: &str,
    ) -> Result<(), Problem> {
        let name = &identity.user;
        let new = password::prepare(new, name).map_err(|problem| problem.field("new"))?;
        let user = self.verify(from.into().address, Some(name), old).await?;
        let changed = User {
            password_hash: self.known_logins.hash(new).await?,
            ..user.clone()
        };
        let replaced = self.ports.users.replace(&user, &changed).await;
        if !replaced.map_err(directory_unavailable)? {
            return Err(changed_meanwhile());
        }
        tracing::info!(user = %name, "password changed");
        self.end_logins(name, |login| login.id != identity.session)
            .await
    }

    /// The logins of a user that have neither ended nor expired; those used last come first.
    pub async fn logins(&self, user: &UserName) -> Result<Vec<LoginSession>, Problem> {
        let mut live = self.sessions.live(user, now_ms()).await?;
        live.sort_by_key(|login| std::cmp::Reverse((login.used_at_ms(), login.id)));
        Ok(live)
    }

    /// Ends one login of a user; `login_not_found` if it has ended already or doesn't exist.
    pub async fn end_login(&self, user: &UserName, id: Uuid) -> Result<(), Problem> {
        let live = self.sessions.live(user, now_ms()).await?;
        if !live.iter().any(|login| login.id == id) {
            return Err(login_not_found());
        }
        self.sessions.end(user, id).await
    }

    /// Ends those logins of a user that `which` selects. After an error some of them may have ended.
    pub async fn end_logins(
        &self,
        user: &UserName,
        which: impl Fn(&LoginSession) -> bool,
    ) -> Result<(), Problem> {
        let mut live = self.sessions.live(user, now_ms()).await?;
        live.retain(which);
        let ends: Vec<_> = live
            .iter()
            .map(|login| self.sessions.end(user, login.id))
            .collect();
        let mut ended = stream::iter(ends).buffer_unordered(ENDED_AT_ONCE);
        let mut all_ended = Ok(());
        // One that fails doesn't save the others.
        while let Some(result) = ended.next().await {
            all_ended = all_ended.and(result);
        }
        all_ended
    }
}

pub fn login_not_found() -> Problem {
    Problem::new(Code::LoginNotFound, "You have no such login.")
}
