//! The end of accesses, at once and on every server.
//!
//! The server that ends a login ends its accesses there, and announces it to the other servers. A server
//! that misses the announcement finds out by reading the directory every 30 s.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::time::timeout;
use uuid::Uuid;

use super::live_accesses::{Access, AccessEnd, AccessGuard, TransferAccess};
use super::refusals::account_disabled;
use super::{Accounts, Identity, sessions};
use crate::domain::{LoginSession, Problem, UserName};
use crate::ports::problem::directory_unavailable;
use crate::ports::revocations::{Revocation, RevocationEvent};

/// How often the logins of live accesses are looked up.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Logins that are looked up in one call.
const CHECKED_AT_ONCE: usize = 64;

impl Accounts {
    /// Registers an access, which ends with the caller's login. The caller has been authenticated.
    pub fn hold(&self, identity: &Identity, access: Arc<dyn Access>) -> AccessGuard {
        let (user, login) = (&identity.user, identity.session);
        let guard = self.live.hold(user, Some(login), access);
        // The login may have ended since it was authenticated. Ends that come later find the access.
        if self.sessions.is_known_to_have_ended(login) {
            self.live.end_login(user, login);
        }
        guard
    }

    /// A transfer, which ends with the caller's login.
    pub fn transfer(&self, identity: &Identity) -> HeldTransfer {
        let access = Arc::new(TransferAccess::default());
        HeldTransfer {
            guard: self.hold(identity, access.clone()),
            access,
        }
    }

    /// A transfer by a signed URL, which needs the account of the user who made it, and no login.
    /// `account_disabled` if there is no such account any more.
    pub async fn transfer_by_link(&self, user: &UserName) -> Result<HeldTransfer, Problem> {
        let access = Arc::new(TransferAccess::default());
        // Held first: a disabling that this read doesn't see finds the access.
        let guard = self.live.hold(user, None, access.clone());
        let account = self
            .ports
            .users
            .find(user)
            .await
            .map_err(directory_unavailable)?;
        match account.is_none_or(|account| account.is_disabled) {
            true => Err(account_disabled()),
            false => Ok(HeldTransfer { access, guard }),
        }
    }

    /// Ends everything that a user does, and all logins. The account is disabled already, so that
    /// there are no new ones.
    pub(super) async fn end_account(&self, user: &UserName) -> Result<(), Problem> {
        // First, so that clients get this reason.
        self.live.end_account(user);
        let account = Revocation::Account { user: user.clone() };
        self.ports.revocations.publish(account);
        self.end_logins(user, |_| true).await
    }

    /// Applies an event from another server.
    pub fn apply_revocation(&self, event: RevocationEvent) {
        match event {
            RevocationEvent::Revoked(Revocation::Login { user, login }) => {
                self.sessions.has_ended(&user, login);
            }
            RevocationEvent::Revoked(Revocation::Account { user }) => self.live.end_account(&user),
            RevocationEvent::Resubscribed => self.check_soon.notify_one(),
        }
    }

    /// Looks up the logins of all live accesses, every 30 s and after each new subscription. Runs until its future
    /// is dropped.
    pub async fn check_forever(&self) {
        loop {
            // Neither loses anything: a notification that comes during a check is kept.
            let _ = timeout(CHECK_INTERVAL, self.check_soon.notified()).await;
            self.check_live_accesses().await;
        }
    }

    async fn check_live_accesses(&self) {
        let logins: Vec<_> = self.live.logins().into_iter().collect();
        for some in logins.chunks(CHECKED_AT_ONCE) {
            match self.ports.login_sessions.find_all(some).await {
                Ok(found) => {
                    let has_ended =
                        |found: &Option<LoginSession>| found.as_ref().is_none_or(|f| f.revoked);
                    let both = some.iter().zip(&found);
                    for ((user, login), _) in both.filter(|(_, found)| has_ended(found)) {
                        self.end_missed(user, *login).await;
                    }
                }
                // The last known state counts, as for calls.
                Err(error) => {
                    tracing::warn!(%error, "can't check whether logins have ended");
                    return;
                }
            }
        }
    }

    async fn end_missed(&self, user: &UserName, login: Uuid) {
        // Only decides the reason that the client gets. If the row can't be read, it is the end of the login.
        if let Ok(account) = self.ports.users.find(user).await
            && account.is_none_or(|account| account.is_disabled)
        {
            self.live.end_account(user);
        }
        self.sessions.has_ended(user, login);
    }
}

/// A transfer that ends with a login or an account.
pub struct HeldTransfer {
    access: Arc<TransferAccess>,
    guard: AccessGuard,
}

impl HeldTransfer {
    /// The items; after the end, an error instead of the next one.
    pub fn cut<T, E, S>(
        self,
        mut items: S,
        error: fn(Problem) -> E,
    ) -> impl Stream<Item = Result<T, E>> + Unpin + use<T, E, S>
    where
        S: Stream<Item = Result<T, E>> + Unpin,
    {
        let HeldTransfer { access, guard } = self;
        let mut ended = Box::pin(access.ended());
        stream::poll_fn(move |cx| {
            let _held = &guard;
            if ended.as_mut().poll(cx).is_pending() {
                return items.poll_next_unpin(cx);
            }
            let problem = match access.why() {
                Some(AccessEnd::AccountDisabled) => account_disabled(),
                Some(AccessEnd::LoginEnded) | None => sessions::ended(),
            };
            Poll::Ready(Some(Err(error(problem))))
        })
    }
}
