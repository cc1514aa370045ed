//! How many uploads, downloads and pages may be on their way at the same time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{KeyedSlot, KeyedSlots};
use crate::domain::{Code, Problem, UserName};

/// When a transfer may be tried again. Nobody knows when another one ends.
const RETRY_MS: u64 = 1_000;

/// The transfers under way, of each user and of all users. Each holds memory for as long as its
/// client takes, so their number bounds the memory.
#[derive(Debug)]
pub struct TransferLimit {
    per_user: usize,
    users: KeyedSlots<UserName>,
    total: usize,
    all: Option<Arc<Semaphore>>,
}

/// A place among the transfers. Dropping it frees the place.
#[derive(Debug)]
pub struct TransferSlot {
    _user: KeyedSlot<UserName>,
    _all: Option<OwnedSemaphorePermit>,
}

impl TransferLimit {
    /// `per_user` transfers of each user, `total` of all; 0 turns a limit off.
    pub fn new(per_user: usize, total: usize) -> TransferLimit {
        let permits = total.min(Semaphore::MAX_PERMITS);
        TransferLimit {
            per_user,
            users: KeyedSlots::new(per_user),
            total,
            all: (total > 0).then(|| Arc::new(Semaphore::new(permits))),
        }
    }

    /// A place for a transfer of a user; `rate_limited` if there is none.
    pub fn take(&self, user: &UserName) -> Result<TransferSlot, Problem> {
        let Some(of_user) = self.users.take(user) else {
            let text = format!(
                "A user may have at most {} uploads, downloads and pages under way.",
                self.per_user
            );
            return Err(refused("transfers_per_user", text, self.per_user));
        };
        let of_all = match &self.all {
            None => None,
            Some(all) => Some(all.clone().try_acquire_owned().map_err(|_| {
                let text = format!(
                    "The server has {} uploads, downloads and pages under way, and takes no more.",
                    self.total
                );
                refused("transfers", text, self.total)
            })?),
        };
        Ok(TransferSlot {
            _user: of_user,
            _all: of_all,
        })
    }
}

fn refused(name: &'static str, text: String, limit: usize) -> Problem {
    metrics::counter!("lakechat_transfers_refused_total", "limit" => name).increment(1);
    Problem::new(Code::RateLimited, text)
        .limit(limit as u64)
        .retry_after_ms(RETRY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        UserName::parse(name).expect("a name")
    }

    #[test]
    fn a_user_and_all_users_have_so_many_transfers() {
        let limit = TransferLimit::new(2, 3);
        let taken = |name| limit.take(&user(name)).map_err(|problem| problem.limit);
        let first = taken("ann").expect("free");
        let _second = taken("ann").expect("free");
        assert_eq!(taken("ann").expect_err("two"), Some(2));
        let _third = taken("bob").expect("free");
        assert_eq!(taken("bob").expect_err("three in all"), Some(3));
        assert_eq!(taken("eve").expect_err("three in all"), Some(3));
        drop(first);
        assert!(taken("eve").is_ok(), "refusals hold nothing");
    }

    #[test]
    fn zero_is_off() {
        let limit = TransferLimit::new(0, 0);
        let held: Vec<_> = (0..500).map(|_| limit.take(&user("ann"))).collect();
        assert!(held.iter().all(Result::is_ok));
    }
}
