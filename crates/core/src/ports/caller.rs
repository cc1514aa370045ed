//! For whom the back ends are called.

use std::sync::{Arc, OnceLock};

use crate::domain::UserName;

/// Whose request a task is working on. An adapter whose calls wait shares its back end fairly among
/// users, so that the calls of one user don't hold up those of all others.
///
/// Outside of [`Caller::scope`], and while the user is not known yet, calls are the server's own.
#[derive(Clone, Debug)]
pub struct Caller(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Set once the user is known.
    One(Arc<OnceLock<UserName>>),
    Several,
}

/// For whom a call is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CalledFor {
    /// Logins, checks of tokens, what the server does by itself.
    Server,
    User(UserName),
    /// Any number of users wait for the result, such as a channel that is being loaded.
    SeveralUsers,
}

tokio::task_local! {
    static CALLER: Caller;
}

impl Caller {
    /// A user who is not known yet.
    pub fn unknown() -> Caller {
        Caller(Kind::One(Arc::default()))
    }

    pub fn user(user: UserName) -> Caller {
        Caller(Kind::One(Arc::new(OnceLock::from(user))))
    }

    pub fn several() -> Caller {
        Caller(Kind::Several)
    }

    /// Only the first call has an effect. Returns whether it had one.
    pub fn identify(&self, user: UserName) -> bool {
        match &self.0 {
            Kind::One(known) => known.set(user).is_ok(),
            Kind::Several => false,
        }
    }

    pub fn name(&self) -> Option<&UserName> {
        match &self.0 {
            Kind::One(known) => known.get(),
            Kind::Several => None,
        }
    }

    /// Runs `work` so that its calls are made for this caller. That doesn't include tasks that it
    /// spawns.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CALLER.scope(self, work).await
    }

    /// For whom this task makes its calls.
    pub fn current() -> CalledFor {
        let called_for = CALLER.try_with(|caller| match &caller.0 {
            Kind::One(known) => known.get().cloned().map(CalledFor::User),
            Kind::Several => Some(CalledFor::SeveralUsers),
        });
        called_for.ok().flatten().unwrap_or(CalledFor::Server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_are_made_for_a_user_from_when_the_user_is_known() {
        let ann = UserName::parse("ann").expect("a plain name");
        assert_eq!(Caller::current(), CalledFor::Server);
        let caller = Caller::unknown();
        let work = async {
            assert_eq!(Caller::current(), CalledFor::Server);
            assert!(caller.identify(ann.clone()));
            assert!(!caller.identify(ann.clone()));
            assert_eq!(Caller::current(), CalledFor::User(ann.clone()));
            let shared = Caller::several().scope(async { Caller::current() });
            assert_eq!(shared.await, CalledFor::SeveralUsers);
        };
        caller.clone().scope(work).await;
        assert_eq!(Caller::current(), CalledFor::Server);
    }
}
