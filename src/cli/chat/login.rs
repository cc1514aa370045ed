//! Logs in: with the saved login, or else with a password.

use std::io::{IsTerminal, stdin};

use anyhow::{Context, Result, bail};
use http::StatusCode;

use super::args::ChatArgs;
use super::tokens::Tokens;
use lakechat_client::{Api, CallError, Login};

pub(super) async fn log_in(api: &Api, args: &ChatArgs, tokens: &Tokens) -> Result<Login> {
    let login = match resumed(api, args, tokens).await? {
        Some(login) => login,
        None => with_password(api, args).await?,
    };
    tokens.save(&login)?;
    Ok(login)
}

async fn resumed(api: &Api, args: &ChatArgs, tokens: &Tokens) -> Result<Option<Login>> {
    let Some(refresh_token) = tokens.refresh_token()?.filter(|_| !args.register) else {
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

async fn with_password(api: &Api, args: &ChatArgs) -> Result<Login> {
    let (user, password) = (args.user.as_str(), password(args)?);
    let answer = if args.register {
        api.register(user, &password).await
    } else {
        api.login(user, &password).await
    };
    answer.with_context(|| format!("{user} can't log in at {}", api.base()))
}

fn password(args: &ChatArgs) -> Result<String> {
    if let Some(password) = std::env::var_os("LAKECHAT_PASSWORD") {
        return password
            .into_string()
            .ok()
            .context("LAKECHAT_PASSWORD is not UTF-8");
    }
    if !stdin().is_terminal() {
        let mut line = String::new();
        stdin()
            .read_line(&mut line)
            .context("can't read the password")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let password = rpassword::prompt_password(format!("Password of {}: ", args.user))?;
    if args.register && rpassword::prompt_password("Repeat the password: ")? != password {
        bail!("the two passwords differ");
    }
    Ok(password)
}
