//! The tokens of one login, shared by all who act for it and renewed by whoever needs it first.

use std::fmt;
use std::sync::Mutex;

use super::api::{Api, CallError, Login};
use lakechat_core::domain::UserName;

type OnRenewed = Box<dyn Fn(&Login) + Send + Sync>;

/// One login's tokens.
pub struct Credentials {
    api: Api,
    login: Mutex<Login>,
    /// Held for the length of a renewal: a refresh token used twice ends the login.
    renewal: tokio::sync::Mutex<()>,
    on_renewed: OnRenewed,
}

impl Credentials {
    pub fn new(api: Api, login: Login) -> Credentials {
        Credentials::storing(api, login, |_| ())
    }

    /// `on_renewed` sees new tokens before anybody uses them; it is the place to keep them.
    pub fn storing(
        api: Api,
        login: Login,
        on_renewed: impl Fn(&Login) + Send + Sync + 'static,
    ) -> Credentials {
        Credentials {
            api,
            login: Mutex::new(login),
            renewal: tokio::sync::Mutex::new(()),
            on_renewed: Box::new(on_renewed),
        }
    }

    pub fn api(&self) -> &Api {
        &self.api
    }

    pub fn user(&self) -> UserName {
        self.current().user
    }

    /// The access token to use now.
    pub fn token(&self) -> String {
        self.current().token.expose().clone()
    }

    /// A token newer than `used`, which the server no longer takes or soon won't. Who comes while a
    /// renewal is under way gets its result. Dropping this half-way may end the login: the server
    /// may have replaced a refresh token by one that nobody received.
    pub async fn renew(&self, used: &str) -> Result<String, CallError> {
        let _one_at_a_time = self.renewal.lock().await;
        let login = self.current();
        if login.token.expose() != used {
            return Ok(login.token.expose().clone());
        }
        let renewed = self.api.refresh(login.refresh_token.expose()).await?;
        (self.on_renewed)(&renewed);
        let token = renewed.token.expose().clone();
        *self.lock() = renewed;
        Ok(token)
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
