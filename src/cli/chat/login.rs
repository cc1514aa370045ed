//! Logs in: with the saved login, or else with a password.

use anyhow::{Context, Result, bail};
use http::StatusCode;
use reqwest::Url;

use super::args::LoginArgs;
use super::tokens::Tokens;
use lakechat_client::{Api, CallError, Login, is_loopback};

/// Refuses to send a password where others on the way could read it.
pub(in crate::cli) fn check_privacy(url: &Url, insecure: bool) -> Result<()> {
    if url.scheme() == "http" && !is_loopback(url) && !insecure {
        bail!(
            "{url} is not encrypted: on the way, others could read the password and all messages; \
             use https://, or --insecure if you trust the network"
        );
    }
    Ok(())
}

pub(super) async fn log_in(
    api: &Api,
    args: &LoginArgs,
    tokens: &Tokens,
    note: &(dyn Fn(&str) + Sync),
) -> Result<Login> {
    // Always the first line of the input, so that it is never taken for a message.
    let given = args.password.read_from_stdin().await?;
    let login = match resumed(api, args, tokens, note).await? {
        Some(login) => login,
        None => with_password(api, args, given).await?,
    };
    tokens.save_or_note(&login, note);
    Ok(login)
}

async fn resumed(
    api: &Api,
    args: &LoginArgs,
    tokens: &Tokens,
    note: &(dyn Fn(&str) + Sync),
) -> Result<Option<Login>> {
    let saved = tokens.refresh_token().unwrap_or_else(|error| {
        note(&format!("can't read the saved login: {error:#}"));
        None
    });
    let Some(refresh_token) = saved.filter(|_| !args.register) else {
        return Ok(None);
    };
    match api.refresh(&refresh_token).await {
        Ok(login) => Ok(Some(login)),
        Err(CallError::Refused { status, .. }) if status == StatusCode::UNAUTHORIZED => {
            tokens.delete();
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("can't log in at {}", api.base())),
    }
}

async fn with_password(api: &Api, args: &LoginArgs, given: Option<String>) -> Result<Login> {
    let user = args.user.as_str();
    let password = match given {
        Some(password) => password,
        None => {
            let password = args.password.read_elsewhere(&args.user, args.register);
            password.await?
        }
    };
    let answer = match &args.invite {
        Some(invite) => api.register_invited(user, &password, invite).await,
        None if args.register => api.register(user, &password).await,
        None => api.login(user, &password).await,
    };
    answer.with_context(|| format!("{user} can't log in at {}", api.base()))
}
