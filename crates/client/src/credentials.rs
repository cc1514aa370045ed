//! The tokens of one login, shared by everything that acts for it, and the servers that accept them.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::StatusCode;

use super::api::{Api, CallError, Login};
use lakechat_core::domain::UserName;

type OnRenewed = Box<dyn Fn(&Login) + Send + Sync>;

/// One login's tokens.
pub struct Credentials {
    /// The servers of one service; at least one.
    servers: Vec<Api>,
    /// The server in use is this one, modulo their number.
    current: AtomicUsize,
    login: Mutex<Login>,
    /// Held during a renewal, because a refresh token that is used twice ends the login.
    renewal: tokio::sync::Mutex<()>,
    on_renewed: OnRenewed,
}

impl Credentials {
    pub fn new(api: Api, login: Login) -> Credentials {
        Credentials::with_callback(api, login, |_| ())
    }

    /// Calls `on_renewed` with new tokens before they are used, so that it can store them.
    pub fn with_callback(
        api: Api,
        login: Login,
        on_renewed: impl Fn(&Login) + Send + Sync + 'static,
    ) -> Credentials {
        Credentials {
            servers: vec![api],
            current: AtomicUsize::new(0),
            login: Mutex::new(login),
            renewal: tokio::sync::Mutex::new(()),
            on_renewed: Box::new(on_renewed),
        }
    }

    /// Adds other servers of the same service. A session whose connection ends goes to the next one.
    pub fn also_at(mut self, servers: impl IntoIterator<Item = Api>) -> Credentials {
        self.servers.extend(servers);
        self
    }

    /// The server in use.
    pub fn api(&self) -> &Api {
        &self.servers[self.current.load(Ordering::Relaxed) % self.servers.len()]
    }

    /// Goes on to the next server, unless somebody else has gone on from this one already.
    pub(super) fn leave_server(&self, left: &Api) {
        if self.api().base() == left.base() {
            self.current.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn user(&self) -> UserName {
        self.current().user
    }

    /// The current access token.
    pub fn token(&self) -> String {
        self.current().token.expose().clone()
    }

    /// Returns a newer access token than `used`, which has expired or will soon. Callers that come
    /// during a renewal wait for its result. Don't drop this future before it completes: the server
    /// may have issued a refresh token that then is lost, and with it the login.
    pub async fn renew(&self, used: &str) -> Result<String, CallError> {
        let _guard = self.renewal.lock().await;
        let login = self.current();
        if login.token.expose() != used {
            return Ok(login.token.expose().clone());
        }
        let renewed = self.api().refresh(login.refresh_token.expose()).await?;
        (self.on_renewed)(&renewed);
        let token = renewed.token.expose().clone();
        *self.lock() = renewed;
        Ok(token)
    }

    /// Makes a call with the current access token, and once more with a newer one if the server
    /// does not accept it.
    pub async fn authorized<T, F>(
        self: &Arc<Self>,
        call: impl Fn(String) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let token = self.token();
        match call(token.clone()).await {
            Err(CallError::Refused { status, .. }) if status == StatusCode::UNAUTHORIZED => {
                // In a task of its own, because it must not be dropped half-way.
                let credentials = self.clone();
                let renewal = tokio::spawn(async move { credentials.renew(&token).await });
                call(renewal.await.expect("a renewal does not panic")?).await
            }
            done => done,
        }
    }

    fn current(&self) -> Login {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Login> {
        self.login
            .lock()
            .expect("nobody panics while holding the tokens")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.user()).finish()
    }
}
