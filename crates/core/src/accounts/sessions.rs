//! Whether login sessions go on, remembered for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use uuid::Uuid;

use super::Identity;
use crate::domain::{Code, LoginSession, Problem, UserName};
use crate::ports::problem::directory_problem;
use crate::ports::{LoginSessions, PortError};

/// For so long a token may still be good over HTTP after its session ended on another server.
const TRUSTED_FOR: Duration = Duration::from_secs(30);

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

/// What the directory said last.
#[derive(Clone, Copy)]
struct Known {
    state: State,
    at: Instant,
}

pub struct Sessions {
    login_sessions: Arc<dyn LoginSessions>,
    remembered: Cache<Uuid, Known>,
}

impl Sessions {
    /// Sessions are remembered for as long as a token is good.
    pub fn new(login_sessions: Arc<dyn LoginSessions>, token_lifetime: Duration) -> Sessions {
        let remembered = Cache::builder()
            .max_capacity(MOST_REMEMBERED)
            .time_to_live(token_lifetime.max(TRUSTED_FOR))
            .build();
        Sessions {
            login_sessions,
            remembered,
        }
    }

    /// `token_revoked` if the session has ended; asks the directory unless it said so just before.
    pub async fn check(&self, identity: &Identity) -> Result<(), Problem> {
        match self.remembered.get(&identity.session) {
            Some(known) if known.at.elapsed() < TRUSTED_FOR => require(known.state),
            _ => self.check_fresh(identity).await,
        }
    }

    /// `token_revoked` if the directory says that the session has ended, or knows of none. While it
    /// is away, what it said last counts: who was here goes on.
    pub async fn check_fresh(&self, identity: &Identity) -> Result<(), Problem> {
        let asked = self.login_sessions.find(&identity.user, identity.session);
        let session = match asked.await {
            Ok(session) => session,
            Err(error @ PortError::Unavailable { .. }) => {
                let known = self.remembered.get(&identity.session);
                return require(known.ok_or_else(|| directory_problem(error))?.state);
            }
            Err(error) => return Err(directory_problem(error)),
        };
        let state = match session {
            Some(session) if !session.revoked => State::GoesOn,
            _ => State::Ended,
        };
        require(self.remember(identity.session, state))
    }

    /// Ends a session for good. One that has ended, or never was, is no error.
    pub async fn end(&self, user: &UserName, id: Uuid) -> Result<(), Problem> {
        for _ in 0..TRIES {
            if self.try_to_end(user, id).await.map_err(directory_problem)? {
                self.remember(id, State::Ended);
                return Ok(());
            }
        }
        Err(directory_problem(PortError::unavailable(
            "directory",
            format!("login session {id} was changed {TRIES} times while it was being ended"),
        )))
    }

    async fn try_to_end(&self, user: &UserName, id: Uuid) -> Result<bool, PortError> {
        let Some(old) = self.login_sessions.find(user, id).await? else {
            return Ok(true);
        };
        if old.revoked {
            return Ok(true);
        }
        let new = LoginSession {
            revoked: true,
            ..old.clone()
        };
        self.login_sessions.replace(&old, &new).await
    }

    /// What is known then: a read that began before the session ended doesn't bring it back.
    fn remember(&self, id: Uuid, state: State) -> State {
        let entry = self.remembered.entry(id).and_upsert_with(|known| {
            let ended = known.is_some_and(|entry| entry.value().state == State::Ended);
            Known {
                state: if ended { State::Ended } else { state },
                at: Instant::now(),
            }
        });
        entry.into_value().state
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
