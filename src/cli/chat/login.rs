//! Logs in: with the saved login, or else with a password.

use std::fs;
use std::io::{IsTerminal, stdin};

use anyhow::{Context, Result, bail};
use http::StatusCode;
use reqwest::Url;
use tokio::task::spawn_blocking;

use super::args::ChatArgs;
use super::input::next_line;
use super::screen::Screen;
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
    args: &ChatArgs,
    tokens: &Tokens,
    screen: &Screen,
) -> Result<Login> {
    // Always the first line of the input, so that it is never taken for a message.
    let given = if args.password_stdin {
        let line = spawn_blocking(|| next_line(&mut stdin().lock())).await??;
        Some(line.context("the input ended before the password")?)
    } else {
        None
    };
    let login = match resumed(api, args, tokens, screen).await? {
        Some(login) => login,
        None => with_password(api, args, given).await?,
    };
    tokens.save_or_note(&login, screen);
    Ok(login)
}

async fn resumed(
    api: &Api,
    args: &ChatArgs,
    tokens: &Tokens,
    screen: &Screen,
) -> Result<Option<Login>> {
    let saved = tokens.refresh_token().unwrap_or_else(|error| {
        screen.note(&format!("can't read the saved login: {error:#}"));
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

async fn with_password(api: &Api, args: &ChatArgs, given: Option<String>) -> Result<Login> {
    let user = args.user.as_str();
    let password = match given {
        Some(password) => password,
        None => password(args).await?,
    };
    let answer = if args.register {
        api.register(user, &password).await
    } else {
        api.login(user, &password).await
    };
    answer.with_context(|| format!("{user} can't log in at {}", api.base()))
}

async fn password(args: &ChatArgs) -> Result<String> {
    if let Some(path) = &args.password_file {
        let text = fs::read_to_string(path)
            .with_context(|| format!("can't read the password from {}", path.display()))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if let Some(password) = std::env::var_os("LAKECHAT_PASSWORD") {
        return password
            .into_string()
            .ok()
            .context("LAKECHAT_PASSWORD is not UTF-8");
    }
    if !stdin().is_terminal() {
        bail!(
            "no login of {} is saved, and the password can't be asked for, because the input is not \
             a terminal: use --password-file or --password-stdin",
            args.user
        );
    }
    let (user, repeat) = (args.user.clone(), args.register);
    // Beside this task, which waits for signals too.
    spawn_blocking(move || {
        let password = rpassword::prompt_password(format!("Password of {user}: "))?;
        if repeat && rpassword::prompt_password("Repeat the password: ")? != password {
            bail!("the two passwords differ");
        }
        Ok(password)
    })
    .await?
}
