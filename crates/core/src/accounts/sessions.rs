//! Checks whether login sessions have ended, with a cache of the directory's answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use uuid::Uuid;

use super::Identity;
use super::live_accesses::LiveAccesses;
use super::refresh_token::RefreshToken;
use crate::domain::{Code, LoginSession, Problem, UserName};
use crate::limits::network;
use crate::ports::problem::directory_unavailable;
use crate::ports::revocations::Revocation;
use crate::ports::{LoginSessions, PortError, Revocations};
use crate::single_flight::SingleFlight;

/// The age up to which a cached answer is used without asking. If this server missed that a session
/// ended on another one, its tokens are accepted over HTTP for this long at most.
const TRUSTED_FOR: Duration = Duration::from_secs(30);

/// The capacity of the cache. Above it, the entries that are used least are evicted.
const MOST_REMEMBERED: u64 = 100_000;

/// Attempts to change a session that others change at the same time.
pub const TRIES: usize = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    GoesOn,
    /// Final: an answer to the contrary is older.
    Ended,
}

/// The latest answer of the directory.
#[derive(Clone, Copy)]
struct Known {
    state: State,
    at: Instant,
}

pub struct Sessions {
    directory: CachedSessions,
    /// The questions to the directory that are under way.
    asked: SingleFlight<Uuid, Result<State, Problem>>,
    revocations: Arc<dyn Revocations>,
}

/// The directory, and its latest answers.
#[derive(Clone)]
struct CachedSessions {
    login_sessions: Arc<dyn LoginSessions>,
    remembered: Cache<Uuid, Known>,
    /// Ended as soon as it is known here that their login has ended.
    live: Arc<LiveAccesses>,
}

impl Sessions {
    /// Answers are cached for as long as a token is valid.
    pub fn new(
        login_sessions: Arc<dyn LoginSessions>,
        live: Arc<LiveAccesses>,
        revocations: Arc<dyn Revocations>,
        token_lifetime: Duration,
    ) -> Sessions {
        let remembered = Cache::builder()
            .max_capacity(MOST_REMEMBERED)
            .time_to_live(token_lifetime.max(TRUSTED_FOR))
            .build();
        Sessions {
            directory: CachedSessions {
                login_sessions,
                remembered,
                live,
            },
            asked: SingleFlight::default(),
            revocations,
        }
    }

    /// `token_revoked` if the session has ended. Uses a cached answer that is less than 30 s old,
    /// and asks the directory otherwise.
    pub async fn check(&self, identity: &Identity) -> Result<(), Problem> {
        match self.directory.remembered.get(&identity.session) {
            Some(known) if known.at.elapsed() < TRUSTED_FOR => require(known.state),
            _ => self.check_fresh(identity).await,
        }
    }

    /// `token_revoked` if the directory answers that the session has ended or doesn't exist. If the
    /// directory is unavailable, its last known answer for this session counts; without one the
    /// error is `directory_unavailable`.
    ///
    /// Checks of one session at the same time share one question to the directory. So the answer
    /// lacks an end on another server if it came while the question was under way.
    pub async fn check_fresh(&self, identity: &Identity) -> Result<(), Problem> {
        let ask = || {
            let (directory, identity) = (self.directory.clone(), identity.clone());
            async move { directory.ask(&identity).await }
        };
        require(self.asked.share(identity.session, ask).await?)
    }

    /// The same with an answer that the caller has just got.
    pub fn confirm(
        &self,
        identity: &Identity,
        answer: Result<Option<&LoginSession>, Arc<PortError>>,
    ) -> Result<(), Problem> {
        require(self.directory.judge(identity, answer)?)
    }

    /// The session of a refresh token, as the directory has it. `token_revoked` if it has ended or
    /// doesn't exist, `token_expired` if its time is over.
    pub async fn unexpired(
        &self,
        token: &RefreshToken,
        now_ms: u64,
    ) -> Result<LoginSession, Problem> {
        let sessions = &self.directory.login_sessions;
        let found = sessions.find(&token.user, token.session).await;
        let session = found.map_err(directory_unavailable)?.ok_or_else(ended)?;
        if session.revoked {
            return Err(ended());
        }
        if session.expires_at_ms <= now_ms {
            return Err(expired());
        }
        Ok(session)
    }

    /// Whether the user has a login session that was last renewed at this address. False if the
    /// directory is unavailable.
    pub async fn has_one_at(&self, user: &UserName, from: IpAddr, now_ms: u64) -> bool {
        let is_there = |session: &LoginSession| {
            let at = session.address.map(network);
            session.is_live(now_ms) && at == Some(network(from))
        };
        match self.directory.login_sessions.of_user(user).await {
            Ok(sessions) => sessions.iter().any(is_there),
            Err(error) => {
                tracing::debug!(%user, %error, "can't look up where a user is known");
                false
            }
        }
    }

    /// The user's sessions that have neither ended nor expired, in any order.
    pub async fn live(&self, user: &UserName, now_ms: u64) -> Result<Vec<LoginSession>, Problem> {
        let sessions = self.directory.login_sessions.of_user(user).await;
        let mut sessions = sessions.map_err(directory_unavailable)?;
        sessions.retain(|session| session.is_live(now_ms));
        Ok(sessions)
    }

    /// Replaces a session; false if it was changed since it was read.
    pub async fn replace(&self, old: &LoginSession, new: &LoginSession) -> Result<bool, Problem> {
        let replaced = self.directory.login_sessions.replace(old, new).await;
        replaced.map_err(directory_unavailable)
    }

    /// Remembers that a session has ended, and ends what is done with it.
    pub fn has_ended(&self, user: &UserName, id: Uuid) {
        self.directory.remember(user, id, State::Ended);
    }

    /// Whether the session has ended, as far as this server knows.
    pub fn is_known_to_have_ended(&self, id: Uuid) -> bool {
        let known = self.directory.remembered.get(&id);
        known.is_some_and(|known| known.state == State::Ended)
    }

    /// Ends a session for good, on every server. Returns `Ok` if the session has ended already or doesn't exist.
    pub async fn end(&self, user: &UserName, id: Uuid) -> Result<(), Problem> {
        for _ in 0..TRIES {
            let ended = self.directory.try_to_end(user, id).await;
            if ended.map_err(directory_unavailable)? {
                self.has_ended(user, id);
                let (user, login) = (user.clone(), id);
                self.revocations.publish(Revocation::Login { user, login });
                return Ok(());
            }
        }
        Err(contended(id))
    }
}

impl CachedSessions {
    async fn ask(&self, identity: &Identity) -> Result<State, Problem> {
        let asked = self.login_sessions.find(&identity.user, identity.session);
        let answer = asked.await;
        let answer = answer.map_err(Arc::new);
        self.judge(
            identity,
            answer.as_ref().map(Option::as_ref).map_err(Arc::clone),
        )
    }

    fn judge(
        &self,
        identity: &Identity,
        answer: Result<Option<&LoginSession>, Arc<PortError>>,
    ) -> Result<State, Problem> {
        let session = match answer {
            Ok(session) => session,
            Err(error) if matches!(*error, PortError::Unavailable { .. }) => {
                let known = self.remembered.get(&identity.session);
                return Ok(known.ok_or_else(|| directory_unavailable(error))?.state);
            }
            Err(error) => return Err(directory_unavailable(error)),
        };
        let state = match session {
            Some(session) if !session.revoked => State::GoesOn,
            _ => State::Ended,
        };
        Ok(self.remember(&identity.user, identity.session, state))
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

    /// Caches an answer and returns the resulting state. An ended session stays ended, even if a
    /// read that began before its end returns later.
    fn remember(&self, user: &UserName, id: Uuid, state: State) -> State {
        let entry = self.remembered.entry(id).and_upsert_with(|known| {
            let ended = known.is_some_and(|entry| entry.value().state == State::Ended);
            Known {
                state: if ended { State::Ended } else { state },
                at: Instant::now(),
            }
        });
        let state = entry.into_value().state;
        // After the entry is there: an access that begins meanwhile finds it.
        if state == State::Ended {
            self.live.end_login(user, id);
        }
        state
    }
}

fn require(state: State) -> Result<(), Problem> {
    match state {
        State::GoesOn => Ok(()),
        State::Ended => Err(ended()),
    }
}

fn expired() -> Problem {
    Problem::new(
        Code::TokenExpired,
        "The refresh token has expired; log in again.",
    )
}

/// Every attempt to change the session met a change by somebody else.
pub fn contended(id: Uuid) -> Problem {
    directory_unavailable(PortError::unavailable(
        "directory",
        format!("login session {id} was changed by others {TRIES} times during one request"),
    ))
}

pub fn ended() -> Problem {
    Problem::new(
        Code::TokenRevoked,
        "The login session behind this token has ended; log in again.",
    )
}
