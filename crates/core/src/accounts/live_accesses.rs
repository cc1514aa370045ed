//! What users do at the moment with their logins: open sockets and transfers. All of it ends with the
//! login.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use uuid::Uuid;

use crate::domain::UserName;

/// Why an access ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessEnd {
    LoginEnded,
    AccountDisabled,
}

/// Something that a user does for longer than one call.
pub trait Access: Send + Sync {
    /// Ends it soon. Never blocks; may be called several times, of which the first counts.
    fn end(&self, why: AccessEnd);
}

/// The accesses of this server that are under way, by user.
#[derive(Default)]
pub struct LiveAccesses {
    by_user: Mutex<HashMap<UserName, Vec<Held>>>,
    next: AtomicU64,
}

struct Held {
    number: u64,
    /// The login session; `None` for a signed URL, which only needs the account.
    login: Option<Uuid>,
    access: Arc<dyn Access>,
}

/// An access is under way until this is dropped.
pub struct AccessGuard {
    accesses: Arc<LiveAccesses>,
    user: UserName,
    number: u64,
}

impl LiveAccesses {
    pub fn hold(
        self: &Arc<LiveAccesses>,
        user: &UserName,
        login: Option<Uuid>,
        access: Arc<dyn Access>,
    ) -> AccessGuard {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let held = Held {
            number,
            login,
            access,
        };
        self.lock().entry(user.clone()).or_default().push(held);
        AccessGuard {
            accesses: Arc::clone(self),
            user: user.clone(),
            number,
        }
    }

    /// Ends what a user does with one login.
    pub fn end_login(&self, user: &UserName, login: Uuid) {
        self.end(user, AccessEnd::LoginEnded, |held| {
            held.login == Some(login)
        });
    }

    /// Ends all that a user does.
    pub fn end_account(&self, user: &UserName) {
        self.end(user, AccessEnd::AccountDisabled, |_| true);
    }

    fn end(&self, user: &UserName, why: AccessEnd, which: impl Fn(&Held) -> bool) {
        let accesses = self.lock();
        let held = accesses.get(user).into_iter().flatten();
        let ending: Vec<_> = held
            .filter(|held| which(held))
            .map(|held| Arc::clone(&held.access))
            .collect();
        drop(accesses);
        let reason = match why {
            AccessEnd::LoginEnded => "login_ended",
            AccessEnd::AccountDisabled => "account_disabled",
        };
        metrics::counter!("lakechat_accesses_ended_total", "reason" => reason)
            .increment(ending.len() as u64);
        ending.iter().for_each(|access| access.end(why));
    }

    /// The logins with which something is done, each once.
    pub fn logins(&self) -> HashSet<(UserName, Uuid)> {
        let accesses = self.lock();
        let logins = accesses.iter().flat_map(|(user, held)| {
            let logins = held.iter().filter_map(|held| held.login);
            logins.map(|login| (user.clone(), login))
        });
        logins.collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserName, Vec<Held>>> {
        self.by_user
            .lock()
            .expect("nothing panics while holding it")
    }
}

impl Drop for AccessGuard {
    fn drop(&mut self) {
        let mut accesses = self.accesses.lock();
        let Some(held) = accesses.get_mut(&self.user) else {
            return;
        };
        held.retain(|held| held.number != self.number);
        if held.is_empty() {
            accesses.remove(&self.user);
        }
    }
}

/// An access that somebody waits for: a transfer.
#[derive(Default)]
pub struct TransferAccess {
    ended: CancellationToken,
    why: OnceLock<AccessEnd>,
}

impl TransferAccess {
    pub fn ended(&self) -> WaitForCancellationFutureOwned {
        self.ended.clone().cancelled_owned()
    }

    /// Why it ended, once it has.
    pub fn why(&self) -> Option<AccessEnd> {
        self.why.get().copied()
    }
}

impl Access for TransferAccess {
    fn end(&self, why: AccessEnd) {
        self.why.get_or_init(|| why);
        self.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_reaches_what_belongs_to_it_and_is_still_under_way() {
        let accesses = Arc::new(LiveAccesses::default());
        let name = |name| UserName::parse(name).expect("a name");
        let (ann, bob) = (name("ann"), name("bob"));
        let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
        let all = [
            (&ann, Some(one)),
            (&ann, Some(two)),
            (&ann, None),
            (&bob, Some(one)),
        ];
        let held = all.map(|(user, login)| {
            let access = Arc::new(TransferAccess::default());
            let guard = accesses.hold(user, login, access.clone());
            (access, guard)
        });
        let ended = || held.each_ref().map(|(access, _)| access.why());
        let logins = [(ann.clone(), one), (ann.clone(), two), (bob.clone(), one)];
        assert_eq!(accesses.logins(), HashSet::from(logins));

        accesses.end_login(&ann, one);
        let why = Some(AccessEnd::LoginEnded);
        assert_eq!(ended(), [why, None, None, None]);
        accesses.end_account(&ann);
        let gone = Some(AccessEnd::AccountDisabled);
        assert_eq!(ended(), [why, gone, gone, None], "the first end counts");

        let accesses_left = || accesses.lock().len();
        assert_eq!(accesses_left(), 2);
        drop(held);
        assert_eq!(accesses_left(), 0);
    }
}
