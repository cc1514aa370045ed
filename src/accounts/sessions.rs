//! Whether login sessions go on, remembered for a while.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use uuid::Uuid;

use super::{Identity, unavailable};
use crate::domain::{Code, LoginSession, Problem, UserName};
use crate::ports::{Directory, PortError};

/// For so long a token may still be good over HTTP after its session ended on another server.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// Sessions remembered; beyond it those go first that are of least use.
const MOST_REMEMBERED: u64 = 100_000;

/// Tries to end a session that others change at the same time.
const TRIES: usize = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    GoesOn,
    /// For good: what says otherwise is older.
    Ended,
}

pub struct Sessions {
    directory: Arc<dyn Directory>,
    remembered: Cache<Uuid, State>,
}

impl Sessions {
    pub fn new(directory: Arc<dyn Directory>) -> Sessions {
        let remembered = Cache::builder()
            .max_capacity(MOST_REMEMBERED)
            .time_to_live(REMEMBERED_FOR)
            .build();
        Sessions {
            directory,
            remembered,
        }
    }

    /// `token_revoked` if the session is known to have ended; asks the directory if nothing is known.
    pub async fn check(&self, identity: &Identity) -> Result<(), Problem> {
        match self.remembered.get(&identity.session) {
            Some(state) => require(state),
            None => self.check_fresh(identity).await,
        }
    }

    /// `token_revoked` if the directory says that the session has ended, or knows of none.
    pub async fn check_fresh(&self, identity: &Identity) -> Result<(), Problem> {
        let session = self
            .directory
            .session(&identity.user, identity.session)
            .await
            .map_err(unavailable)?;
        let state = match session {
            Some(session) if !session.revoked => State::GoesOn,
            _ => State::Ended,
        };
        require(self.remember(identity.session, state))
    }

    /// Ends a session for good. One that has ended, or never was, is no error.
    pub async fn end(&self, user: &UserName, id: Uuid) -> Result<(), Problem> {
        for _ in 0..TRIES {
            if self.try_to_end(user, id).await.map_err(unavailable)? {
                self.remember(id, State::Ended);
                return Ok(());
            }
        }
        Err(unavailable(PortError::Unavailable {
            part: "directory",
            reason: format!("login session {id} changes all the time"),
        }))
    }

    async fn try_to_end(&self, user: &UserName, id: Uuid) -> Result<bool, PortError> {
        let Some(old) = self.directory.session(user, id).await? else {
            return Ok(true);
        };
        if old.revoked {
            return Ok(true);
        }
        let new = LoginSession {
            revoked: true,
            ..old.clone()
        };
        self.directory.replace_session(&old, &new).await
    }

    /// What is known then: a read that began before the session ended doesn't bring it back.
    fn remember(&self, id: Uuid, state: State) -> State {
        let entry = self.remembered.entry(id).and_upsert_with(|known| {
            let ended = known.is_some_and(|entry| *entry.value() == State::Ended);
            if ended { State::Ended } else { state }
        });
        entry.into_value()
    }
}

fn require(state: State) -> Result<(), Problem> {
    match state {
        State::GoesOn => Ok(()),
        State::Ended => Err(ended()),
    }
}

pub fn ended() -> Problem {
    Problem::new(
        Code::TokenRevoked,
        "The login session behind this token has ended; log in again.",
    )
}
