//! Passwords that commands need: from a file, the environment, the input or the terminal.

use std::fs;
use std::io::{IsTerminal, stdin};
use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::task::spawn_blocking;

use super::chat::next_line;
use lakechat_core::domain::UserName;

/// From the file if there is one, else from LAKECHAT_PASSWORD, else from the terminal. A new one is asked
/// for twice.
pub async fn password(user: &UserName, file: Option<&Path>, is_new: bool) -> Result<String> {
    if let Some(path) = file {
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
            "the password of {user} can't be asked for, because the input is not a terminal: use \
             --password-file or --password-stdin"
        );
    }
    let user = user.clone();
    // Beside this task, which waits for signals too.
    spawn_blocking(move || {
        let password = rpassword::prompt_password(format!("Password of {user}: "))?;
        if is_new && rpassword::prompt_password("Repeat the password: ")? != password {
            bail!("the two passwords differ");
        }
        Ok(password)
    })
    .await?
}

/// The first line of the input.
pub async fn password_from_stdin() -> Result<String> {
    let line = spawn_blocking(|| next_line(&mut stdin().lock())).await??;
    line.context("the input ended before the password")
}
