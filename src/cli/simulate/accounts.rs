//! The accounts and channels of a run.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use super::message::Script;
use lakechat_client::{Api, CallError, Login, Refusal};
use lakechat_core::domain::ChannelName;

/// How long the server may refuse the next account for the moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// Accounts that are registered at the same time.
pub const AT_A_TIME: usize = 4;

/// The password of all people.
#[derive(Clone, Debug)]
pub enum Password {
    /// A random one, for accounts that no other run uses.
    Fresh(String),
    /// A given one, under which the accounts may exist.
    Given(String),
}

impl Password {
    fn text(&self) -> &str {
        match self {
            Password::Fresh(text) | Password::Given(text) => text,
        }
    }
}

/// Registers a person, or logs in a registered one. Waits as long as the server limits registrations;
/// `delayed` gets what it says.
pub async fn log_in(
    api: &Api,
    script: &Script,
    person: u32,
    password: &Password,
    delayed: impl Fn(String),
) -> Result<Login> {
    let user = script.user(person);
    let began = Instant::now();
    loop {
        let answer = match api.register(&user, password.text()).await {
            Err(error) if is_taken(&error) && matches!(password, Password::Given(_)) => {
                api.login(&user, password.text()).await
            }
            answer => answer,
        };
        match answer {
            Ok(login) => return Ok(login),
            Err(CallError::Refused { refusal, .. })
                if refusal.is_temporary() && began.elapsed() < PATIENCE =>
            {
                let wait = retry_after(&refusal);
                delayed(refusal.to_string());
                sleep(wait).await;
            }
            Err(error) if is_taken(&error) => bail!(
                "{user} exists already: choose another --prefix, or give the password of these users \
                 with --password-file"
            ),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("can't register {user} at {}", api.base()));
            }
        }
    }
}

/// Creates a channel, unless an earlier run has done so.
pub async fn create_channel(api: &Api, token: &str, name: &ChannelName) -> Result<()> {
    match api.create_channel(token, name).await {
        Err(CallError::Refused { refusal, .. }) if refusal.code == "channel_exists" => Ok(()),
        Err(CallError::Refused { refusal, .. }) if refusal.is_temporary() => {
            sleep(retry_after(&refusal)).await;
            Box::pin(create_channel(api, token, name)).await
        }
        Err(error) => Err(error).with_context(|| format!("can't create channel {name}")),
        Ok(_) => Ok(()),
    }
}

fn is_taken(error: &CallError) -> bool {
    matches!(error, CallError::Refused { refusal, .. } if refusal.code == "username_taken")
}

fn retry_after(refusal: &Refusal) -> Duration {
    Duration::from_millis(refusal.retry_after_ms.unwrap_or(1_000))
}
