//! Accounts: registration, login, and the tokens by which a user is recognised.
//!
//! A login creates a *login session*. Its access tokens are valid for minutes and are verified
//! without a back end; only the state of the session is looked up every 30 s. Its refresh token is
//! exchanged for the next pair of tokens (see `rotation`). The end of the session invalidates all its
//! tokens.

mod access_token;
mod administration;
mod ending;
mod hasher;
mod invites;
mod live_accesses;
mod login_client;
mod own_logins;
mod password;
mod refresh_token;
mod refusals;
mod registration;
mod rotation;
mod sessions;
mod signing_key;
#[cfg(any(test, feature = "testing"))]
pub mod test_directory;
#[cfg(test)]
mod tests;
mod throttle;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use uuid::Uuid;

use self::access_token::AccessTokens;
pub use self::administration::{AccountChange, Admin, Administration};
pub use self::ending::HeldTransfer;
use self::hasher::Hasher;
use self::live_accesses::LiveAccesses;
pub use self::live_accesses::{Access, AccessEnd, AccessGuard};
pub use self::login_client::LoginClient;
pub use self::own_logins::login_not_found;
use self::refresh_token::RefreshToken;
pub use self::refusals::invite_not_found;
use self::refusals::{
    account_disabled, invalid_credentials, not_a_refresh_token, not_the_valid_refresh_token,
};
pub use self::registration::{Registration, create_admin};
use self::rotation::{Renewal, TokenStatus};
use self::sessions::{Sessions, TRIES};
pub use self::signing_key::{KeyError, KeyFile, signing_key};
use self::throttle::Throttle;
use crate::domain::{Code, LoginSession, Problem, Secret, User, UserName, now_ms};
use crate::ports::problem::directory_unavailable;
use crate::ports::{CalledFor, Caller, Invites, LoginSessions, PortError, Revocations, Users};
use crate::single_flight::SingleFlight;

#[derive(Clone, Debug)]
pub struct AccountsSettings {
    /// Signs access tokens. All servers of a cluster have the same key.
    pub signing_key: Secret<Vec<u8>>,
    /// The lifetime of an access token, in whole seconds.
    pub access_token: Duration,
    /// The lifetime of a refresh token. It starts again with each refresh.
    pub refresh_token: Duration,
    /// The lifetime of a login session, however often it is refreshed.
    pub login_max: Duration,
    /// Logins and registrations per second from one address; 0: no limit.
    pub logins_per_address: u32,
    pub registration: Registration,
}

/// The ports that accounts use.
#[derive(Clone)]
pub struct AccountsPorts {
    pub users: Arc<dyn Users>,
    pub login_sessions: Arc<dyn LoginSessions>,
    pub invites: Arc<dyn Invites>,
    pub revocations: Arc<dyn Revocations>,
}

/// The response to a login, a registration or a refresh.
#[derive(Debug)]
pub struct Login {
    pub user: UserName,
    /// The access token.
    pub token: Secret<String>,
    /// For how many seconds the access token is valid.
    pub expires_in_s: u64,
    pub refresh_token: Secret<String>,
}

/// The content of a valid access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: UserName,
    /// The id of the login session.
    pub session: Uuid,
    /// When the token expires, in ms since 1970.
    pub expires_at_ms: u64,
}

/// Registers users, logs them in and authenticates them. Shared by all connections.
pub struct Accounts {
    ports: AccountsPorts,
    user_loads: SingleFlight<(CalledFor, UserName), Result<Option<User>, Problem>>,
    /// Logins of users at addresses where they are known. Registrations and other logins can't keep
    /// them waiting.
    known_logins: Hasher,
    logins: Hasher,
    registrations: Hasher,
    throttle: Throttle,
    tokens: AccessTokens,
    sessions: Sessions,
    live: Arc<LiveAccesses>,
    /// Asks for a check of the live accesses.
    check_soon: Notify,
    refresh_lifetime: Duration,
    login_max: Duration,
    registration: Registration,
}

impl Accounts {
    /// Fails only if the threads for password hashing can't be started.
    pub fn new(ports: AccountsPorts, settings: AccountsSettings) -> std::io::Result<Accounts> {
        let threads = hasher::threads();
        let live = Arc::new(LiveAccesses::default());
        Ok(Accounts {
            known_logins: Hasher::start("known-login", threads)?,
            logins: Hasher::start("login", threads.div_ceil(2))?,
            registrations: Hasher::start("registration", threads.div_ceil(2))?,
            throttle: Throttle::new(settings.logins_per_address),
            tokens: AccessTokens::new(&settings.signing_key, settings.access_token),
            sessions: Sessions::new(
                Arc::clone(&ports.login_sessions),
                Arc::clone(&live),
                Arc::clone(&ports.revocations),
                settings.access_token,
            ),
            live,
            check_soon: Notify::new(),
            refresh_lifetime: settings.refresh_token,
            login_max: settings.login_max,
            registration: settings.registration,
            user_loads: SingleFlight::default(),
            ports,
        })
    }

    /// Logs in. Neither the response nor the time it takes shows whether the user is unknown or the
    /// password is wrong.
    pub async fn login(
        &self,
        from: impl Into<LoginClient>,
        username: &str,
        password: &str,
    ) -> Result<Login, Problem> {
        let from = from.into();
        // An invalid name is treated like an unknown user, so that the response doesn't differ.
        let name = UserName::parse(username).ok();
        let user = self.verify(from.address, name.as_ref(), password).await?;
        if user.is_disabled {
            return Err(account_disabled());
        }
        self.start_session(&user, from).await
    }

    /// The user with this name, if the password is right. Counts it as a login.
    async fn verify(
        &self,
        from: IpAddr,
        name: Option<&UserName>,
        password: &str,
    ) -> Result<User, Problem> {
        self.admit_login(name, from).await?;
        let is_known = name.is_some_and(|name| self.throttle.is_known(name, from));
        let user = match name {
            Some(name) => self.find(name).await?,
            None => None,
        };
        let hash = user.as_ref().map(|user| user.password_hash.as_str());
        let candidates = password::candidates(password);
        let hasher = match is_known {
            true => &self.known_logins,
            false => &self.logins,
        };
        let right = hasher.verify(candidates, hash).await?;
        let Some(user) = user.filter(|_| right) else {
            self.throttle.failed(name, from, Instant::now());
            count_login("refused");
            return Err(invalid_credentials());
        };
        self.throttle.succeeded(&user.name, from);
        count_login("ok");
        Ok(user)
    }

    /// Exchanges a refresh token for the next pair of tokens.
    ///
    /// After `directory_unavailable` the exchange may have happened. For 60 s a second attempt with
    /// the same token, on any server, gets the same next refresh token. Later it counts as a copy,
    /// and the login session ends. A token that is neither the valid one nor the one before it is
    /// refused, and the session goes on.
    pub async fn refresh(
        &self,
        from: impl Into<LoginClient>,
        refresh_token: &str,
    ) -> Result<Login, Problem> {
        let from = from.into();
        self.throttle
            .admit_refresh(from.address)
            .map_err(throttled)?;
        let token = RefreshToken::parse(refresh_token).ok_or_else(not_a_refresh_token)?;
        for _ in 0..TRIES {
            let now_ms = now_ms();
            let session = self.sessions.unexpired(&token, now_ms).await?;
            match rotation::token_status(&token, &session, now_ms) {
                TokenStatus::Valid => {
                    let renewal = Renewal {
                        at_ms: now_ms,
                        expires_at_ms: self.refresh_until(session.created_at_ms, now_ms),
                        client: from.clone(),
                    };
                    let (rotated, next) = rotation::rotate(&token, &session, renewal);
                    if self.sessions.replace(&session, &rotated).await? {
                        self.throttle.remember(&token.user, from.address);
                        return Ok(self.login_with(next, session.created_at_ms, now_ms));
                    }
                    // Another request has exchanged the token or ended the session: look again.
                }
                TokenStatus::Repeated(next) => {
                    metrics::counter!("lakechat_refreshes_repeated_total").increment(1);
                    return Ok(self.login_with(next, session.created_at_ms, now_ms));
                }
                TokenStatus::Copied => return self.end_copied(&token).await,
                TokenStatus::Unknown => return Err(not_the_valid_refresh_token()),
            }
        }
        Err(sessions::contended(token.session))
    }

    /// Ends the login session of a token, which invalidates all tokens of the session and ends its accesses.
    pub async fn logout(&self, identity: &Identity) -> Result<(), Problem> {
        self.sessions.end(&identity.user, identity.session).await
    }

    /// The account with this name; `user_not_found` if there is none.
    pub async fn user(&self, name: &UserName) -> Result<User, Problem> {
        self.find(name)
            .await?
            .ok_or_else(|| Problem::new(Code::UserNotFound, format!("There is no user {name}.")))
    }

    /// The identity in an access token, if its login session has not ended. The directory's answer
    /// about the session may be 30 s old. If the directory is unavailable, its last known answer
    /// for this login session counts.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, Problem> {
        let identity = self.tokens.read(token, now_ms())?;
        self.sessions.check(&identity).await?;
        Ok(identity)
    }

    /// The identity in an access token, whose login session may have ended: the caller looks that up
    /// and asks [`Accounts::confirm`].
    pub fn read_token(&self, token: &str) -> Result<Identity, Problem> {
        self.tokens.read(token, now_ms())
    }

    /// `token_revoked` if the login session has ended or doesn't exist, according to what the
    /// directory has just answered. If it is unavailable, its last known answer for this login
    /// session counts.
    pub fn confirm(
        &self,
        identity: &Identity,
        answer: Result<Option<&LoginSession>, Arc<PortError>>,
    ) -> Result<(), Problem> {
        self.sessions.confirm(identity, answer)
    }

    /// The identity in an access token, if the directory confirms that its login session has not
    /// ended. If the directory is unavailable, its last known answer for this login session counts.
    pub async fn authenticate_fresh(&self, token: &str) -> Result<Identity, Problem> {
        let identity = self.tokens.read(token, now_ms())?;
        self.sessions.check_fresh(&identity).await?;
        Ok(identity)
    }

    async fn find(&self, name: &UserName) -> Result<Option<User>, Problem> {
        let load = || {
            let (users, name) = (Arc::clone(&self.ports.users), name.clone());
            async move { users.find(&name).await.map_err(directory_unavailable) }
        };
        // By caller: a login doesn't wait for the turn of a user who looks the same user up.
        let key = (Caller::current(), name.clone());
        self.user_loads.find(key, load).await
    }

    /// Whether limits and earlier failures permit a login. If they don't, a login session of the user
    /// at this address shows that the user is known there.
    async fn admit_login(&self, name: Option<&UserName>, from: IpAddr) -> Result<(), Problem> {
        let admitted = match self.throttle.admit_login(name, from, Instant::now()) {
            Err(_) if self.becomes_known(name, from).await => {
                self.throttle.admit_login(name, from, Instant::now())
            }
            admitted => admitted,
        };
        admitted.map_err(throttled)
    }

    /// Looks for a login session of the user at this address, if the user isn't known there.
    async fn becomes_known(&self, name: Option<&UserName>, from: IpAddr) -> bool {
        let Some(name) = name.filter(|name| !self.throttle.is_known(name, from)) else {
            return false;
        };
        if !self.throttle.may_look_up(from) || !self.sessions.has_one_at(name, from, now_ms()).await
        {
            return false;
        }
        self.throttle.remember(name, from);
        true
    }

    async fn start_session(&self, user: &User, from: LoginClient) -> Result<Login, Problem> {
        let (id, now_ms) = (Uuid::new_v4(), now_ms());
        let refresh = RefreshToken::random(&user.name, id);
        let session = LoginSession {
            id,
            user: user.name.clone(),
            refresh_hash: refresh.hash(),
            replaced: None,
            address: Some(from.address),
            client: from.name,
            created_at_ms: now_ms,
            expires_at_ms: self.refresh_until(now_ms, now_ms),
            revoked: false,
        };
        self.ports
            .login_sessions
            .create(&session)
            .await
            .map_err(directory_unavailable)?;
        // Whoever changed the password after it was verified, or disabled the account, has ended the logins
        // that they could see.
        // Either this one was among them, or the change is seen here.
        let stored = self.ports.users.find(&user.name).await;
        let stored = stored.map_err(directory_unavailable)?;
        let refusal = match stored {
            Some(stored) if stored.is_disabled => account_disabled(),
            Some(stored) if stored.password_hash == user.password_hash => {
                return Ok(self.login_with(refresh, now_ms, now_ms));
            }
            _ => invalid_credentials(),
        };
        self.sessions.end(&user.name, id).await?;
        Err(refusal)
    }

    async fn end_copied<T>(&self, token: &RefreshToken) -> Result<T, Problem> {
        tracing::warn!(
            user = %token.user,
            login_session = %token.session,
            "a refresh token was used again long after it was replaced, so it was copied; its login \
             session ends"
        );
        metrics::counter!("lakechat_refresh_tokens_reused_total").increment(1);
        self.sessions.end(&token.user, token.session).await?;
        Err(sessions::ended())
    }

    fn login_with(&self, refresh: RefreshToken, created_at_ms: u64, now_ms: u64) -> Login {
        let ends_at_ms = self.ends_at(created_at_ms);
        let session = refresh.session;
        let (token, expires_in_s) = self.tokens.make(&refresh.user, session, now_ms, ends_at_ms);
        Login {
            token,
            expires_in_s,
            user: refresh.user.clone(),
            refresh_token: refresh.into_text(),
        }
    }

    /// When a login session ends that isn't refreshed any more.
    fn refresh_until(&self, created_at_ms: u64, now_ms: u64) -> u64 {
        let until = now_ms.saturating_add(ms(self.refresh_lifetime));
        until.min(self.ends_at(created_at_ms))
    }

    /// When a login session ends at the latest.
    fn ends_at(&self, created_at_ms: u64) -> u64 {
        created_at_ms.saturating_add(ms(self.login_max))
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn throttled(refused: Problem) -> Problem {
    metrics::counter!("lakechat_logins_throttled_total").increment(1);
    refused
}

fn count_login(outcome: &'static str) {
    metrics::counter!("lakechat_logins_total", "outcome" => outcome).increment(1);
}
