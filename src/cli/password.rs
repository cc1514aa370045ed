//! Passwords that commands need: from a file, the environment, the input or the terminal.

use std::fs;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::task::spawn_blocking;

use super::chat::next_line;
use lakechat_core::domain::UserName;

/// The flags with which a command gets the password of its user.
#[derive(clap::Args, Clone, Debug)]
pub struct PasswordArgs {
    /// Read the password from a file; otherwise it comes from LAKECHAT_PASSWORD or the terminal
    #[arg(
        long,
        env = "LAKECHAT_PASSWORD_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    password_file: Option<PathBuf>,
    /// Read the password from the first line of the input
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordArgs {
    /// From the first line of the input if the flags say so; otherwise as [`PasswordArgs::read_elsewhere`].
    pub async fn read(&self, user: &UserName, is_new: bool) -> Result<String> {
        match self.read_from_stdin().await? {
            Some(password) => Ok(password),
            None => self.read_elsewhere(user, is_new).await,
        }
    }

    /// The first line of the input, if the password is to be read from there.
    pub async fn read_from_stdin(&self) -> Result<Option<String>> {
        if !self.password_stdin {
            return Ok(None);
        }
        let line = spawn_blocking(|| next_line(&mut stdin().lock())).await??;
        line.context("the input ended before the password")
            .map(Some)
    }

    /// From the file if there is one, else from LAKECHAT_PASSWORD, else from the terminal. A new one is
    /// asked for twice.
    pub async fn read_elsewhere(&self, user: &UserName, is_new: bool) -> Result<String> {
        match &self.password_file {
            Some(file) => password_in(file),
            None => from_environment_or_terminal(user, is_new).await,
        }
    }
}

/// The password in a file, without the end of its line.
pub fn password_in(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("can't read the password from {}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn from_environment_or_terminal(user: &UserName, is_new: bool) -> Result<String> {
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
