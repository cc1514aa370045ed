//! Accounts: who somebody is, and for how long that is believed.
//!
//! A login makes a *login session*. Its access tokens say so for minutes without asking anybody; its
//! refresh token, good for one use, gets the next pair. Ending the session ends them all.

mod access_token;
mod hasher;
mod password;
mod refresh_token;
mod sessions;
mod signing_key;
#[cfg(any(test, feature = "testing"))]
pub mod test_directory;
#[cfg(test)]
mod tests;
mod throttle;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use self::access_token::AccessTokens;
use self::hasher::Hasher;
use self::refresh_token::RefreshToken;
use self::sessions::Sessions;
pub use self::signing_key::{KeyError, signing_key};
use self::throttle::Throttle;
use crate::domain::{Code, LoginSession, Problem, Secret, User, UserName};
use crate::ports::directory::CreateOutcome;
use crate::ports::problem::directory_problem;
use crate::ports::{LoginSessions, PortError, Users};

/// What accounts go by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Signs access tokens; the same on all servers of a cluster.
    pub signing_key: Secret<Vec<u8>>,
    /// How long an access token is good; whole seconds.
    pub access_token: Duration,
    /// How long a refresh token is good; each refresh begins it anew.
    pub refresh_token: Duration,
    /// Logins and registrations a second from one address; 0: no limit.
    pub logins_per_address: u32,
}

/// What somebody gets who logged in.
#[derive(Debug)]
pub struct Login {
    pub user: UserName,
    /// The access token.
    pub token: Secret<String>,
    /// For how many seconds it is good.
    pub expires_in_s: u64,
    pub refresh_token: Secret<String>,
}

/// Whom an access token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: UserName,
    /// The login session.
    pub session: Uuid,
    /// When the token's time is over, ms since 1970.
    pub expires_at_ms: u64,
}

/// Registers people and knows them again. Shared by all connections.
pub struct Accounts {
    users: Arc<dyn Users>,
    login_sessions: Arc<dyn LoginSessions>,
    hasher: Hasher,
    throttle: Throttle,
    tokens: AccessTokens,
    sessions: Sessions,
    refresh_lifetime: Duration,
}

impl Accounts {
    /// Fails only if the system starts no threads for the hashing of passwords.
    pub fn new(
        users: Arc<dyn Users>,
        login_sessions: Arc<dyn LoginSessions>,
        settings: Settings,
    ) -> std::io::Result<Accounts> {
        Ok(Accounts {
            hasher: Hasher::start()?,
            throttle: Throttle::new(settings.logins_per_address),
            tokens: AccessTokens::new(&settings.signing_key, settings.access_token),
            sessions: Sessions::new(Arc::clone(&login_sessions), settings.access_token),
            refresh_lifetime: settings.refresh_token,
            users,
            login_sessions,
        })
    }

    /// Makes an account and logs in.
    ///
    /// Whoever gets `directory_unavailable` may have an account all the same: `username_taken` then
    /// answers the next try, and the password is good for a login.
    pub async fn register(
        &self,
        from: IpAddr,
        username: &str,
        password: &str,
    ) -> Result<Login, Problem> {
        let name = parse_name(username)?;
        password::check(password)?;
        self.throttle.count_try(from)?;
        // Looked up first because a hash costs a thousand times as much.
        if self.find(&name).await?.is_some() {
            return Err(taken(&name));
        }
        let user = User {
            password_hash: self.hasher.hash(password).await?,
            created_at_ms: now_ms(),
            name,
        };
        match self.users.create(&user).await {
            Ok(CreateOutcome::Created) => {}
            Ok(CreateOutcome::Exists(_)) => return Err(taken(&user.name)),
            Err(error) => return Err(directory_problem(error)),
        }
        tracing::info!(user = %user.name, "account registered");
        metrics::counter!("lakechat_registrations_total").increment(1);
        self.start_session(user.name).await
    }

    /// Logs in. An unknown user and a wrong password are told apart neither by the answer nor by the
    /// time it takes.
    pub async fn login(
        &self,
        from: IpAddr,
        username: &str,
        password: &str,
    ) -> Result<Login, Problem> {
        self.throttle.count_try(from)?;
        let name = UserName::parse(username).ok();
        self.throttle
            .may_log_in(name.as_ref(), from, Instant::now())?;
        let user = match &name {
            Some(name) => self.find(name).await?,
            None => None,
        };
        let hash = user.as_ref().map(|user| user.password_hash.as_str());
        let right = self.hasher.verify(password, hash).await?;
        let Some(user) = user.filter(|_| right) else {
            self.throttle.failed(name.as_ref(), from, Instant::now());
            count_login("refused");
            return Err(invalid_credentials());
        };
        self.throttle.succeeded(&user.name, from);
        count_login("ok");
        self.start_session(user.name).await
    }

    /// Changes a refresh token into the next pair of tokens. One that comes twice was copied: its
    /// whole session ends.
    pub async fn refresh(&self, from: IpAddr, refresh_token: &str) -> Result<Login, Problem> {
        self.throttle.count_refresh(from)?;
        let token = RefreshToken::parse(refresh_token).ok_or_else(not_a_refresh_token)?;
        let found = self.login_sessions.find(&token.user, token.session).await;
        let old = found
            .map_err(directory_problem)?
            .ok_or_else(sessions::ended)?;
        if old.revoked {
            return Err(sessions::ended());
        }
        let now_ms = now_ms();
        if old.expires_at_ms <= now_ms {
            return Err(refresh_expired());
        }
        if !token.is_current(&old) {
            return self.end_copied(&token).await;
        }
        let next = RefreshToken::random(&token.user, token.session);
        let new = LoginSession {
            refresh_hash: next.hash(),
            expires_at_ms: self.refresh_until(now_ms),
            ..old.clone()
        };
        if !self.rotate(&old, &new).await.map_err(directory_problem)? {
            return self.end_copied(&token).await;
        }
        Ok(self.login_with(next, now_ms))
    }

    /// Ends the login session of whoever asks, and with it all its tokens.
    pub async fn logout(&self, identity: &Identity) -> Result<(), Problem> {
        self.sessions.end(&identity.user, identity.session).await
    }

    /// An account: `user_not_found` if there is none.
    pub async fn user(&self, name: &UserName) -> Result<User, Problem> {
        self.find(name)
            .await?
            .ok_or_else(|| Problem::new(Code::UserNotFound, format!("There is no user {name}.")))
    }

    /// Whom a token names. What is known of its login session may be 30 s old, and goes on being
    /// believed for so long while the directory is away.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, Problem> {
        let identity = self.tokens.read(token, now_ms())?;
        self.sessions.check(&identity).await?;
        Ok(identity)
    }

    /// Whom a token names, after asking the directory whether its login session goes on. While it is
    /// away, who was let in before is let in again.
    pub async fn authenticate_fresh(&self, token: &str) -> Result<Identity, Problem> {
        let identity = self.tokens.read(token, now_ms())?;
        self.sessions.check_fresh(&identity).await?;
        Ok(identity)
    }

    async fn find(&self, name: &UserName) -> Result<Option<User>, Problem> {
        self.users.find(name).await.map_err(directory_problem)
    }

    async fn start_session(&self, user: UserName) -> Result<Login, Problem> {
        let (id, now_ms) = (Uuid::new_v4(), now_ms());
        let refresh = RefreshToken::random(&user, id);
        let session = LoginSession {
            id,
            user,
            refresh_hash: refresh.hash(),
            created_at_ms: now_ms,
            expires_at_ms: self.refresh_until(now_ms),
            revoked: false,
        };
        self.login_sessions
            .create(&session)
            .await
            .map_err(directory_problem)?;
        Ok(self.login_with(refresh, now_ms))
    }

    /// Tries a second time if it is open whether the first succeeded: the client's own second try
    /// would look like a copied token.
    async fn rotate(&self, old: &LoginSession, new: &LoginSession) -> Result<bool, PortError> {
        match self.login_sessions.replace(old, new).await {
            Err(PortError::Unavailable { .. }) => self.login_sessions.replace(old, new).await,
            replaced => replaced,
        }
    }

    async fn end_copied<T>(&self, token: &RefreshToken) -> Result<T, Problem> {
        tracing::warn!(
            user = %token.user,
            login_session = %token.session,
            "a refresh token was used twice; its login session ends"
        );
        metrics::counter!("lakechat_refresh_tokens_reused_total").increment(1);
        self.sessions.end(&token.user, token.session).await?;
        Err(sessions::ended())
    }

    fn login_with(&self, refresh: RefreshToken, now_ms: u64) -> Login {
        Login {
            token: self.tokens.make(&refresh.user, refresh.session, now_ms),
            expires_in_s: self.tokens.lifetime_s(),
            user: refresh.user.clone(),
            refresh_token: refresh.into_text(),
        }
    }

    fn refresh_until(&self, now_ms: u64) -> u64 {
        let lifetime_ms = u64::try_from(self.refresh_lifetime.as_millis()).unwrap_or(u64::MAX);
        now_ms.saturating_add(lifetime_ms)
    }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is one that was never set; tokens made by it are over at once.
    since_1970.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn parse_name(username: &str) -> Result<UserName, Problem> {
    UserName::parse(username).map_err(|_| {
        let text = "A user name has 1 to 32 characters out of a-z, 0-9, '.', '_' and '-', and \
                    begins with a letter or digit.";
        Problem::new(Code::UsernameInvalid, text).field("username")
    })
}

fn taken(name: &UserName) -> Problem {
    let text = format!("The name {name} belongs to somebody; choose another one.");
    Problem::new(Code::UsernameTaken, text).field("username")
}

fn invalid_credentials() -> Problem {
    Problem::new(
        Code::InvalidCredentials,
        "There is no such user, or the password is wrong.",
    )
}

fn not_a_refresh_token() -> Problem {
    Problem::new(
        Code::NotAuthenticated,
        "This is none of this service's refresh tokens; log in for one.",
    )
}

fn refresh_expired() -> Problem {
    Problem::new(
        Code::TokenExpired,
        "The refresh token's time is over; log in again.",
    )
}

fn count_login(outcome: &'static str) {
    metrics::counter!("lakechat_logins_total", "outcome" => outcome).increment(1);
}
