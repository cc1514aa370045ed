//! The tokens of a login, saved in the XDG state folder.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use etcetera::{BaseStrategy, choose_base_strategy};
use reqwest::Url;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::args::LoginArgs;
use lakechat_client::Login;
use lakechat_core::domain::UserName;

/// The saved tokens of one user on one server.
///
/// A refresh token works only once, so two clients must not share it. The first client holds a lock
/// while it runs; others neither read nor save tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    /// None if another client uses them, or if there is no folder for them.
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    _lock: File,
}

impl Tokens {
    /// Works without the folder, too: then nothing is saved, and the user reads why.
    pub fn open(login: &LoginArgs, note: &dyn Fn(&str)) -> Tokens {
        Tokens::open_at_home(&login.url, &login.user).unwrap_or_else(|error| {
            note(&format!("the login will not be saved: {error:#}"));
            Tokens { kept: None }
        })
    }

    fn open_at_home(url: &Url, user: &UserName) -> Result<Tokens> {
        let strategy = choose_base_strategy().context("can't find the home folder")?;
        let state = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
        Tokens::open_in(&state.join("lakechat"), url, user)
    }

    fn open_in(folder: &Path, url: &Url, user: &UserName) -> Result<Tokens> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("can't create {}", folder.display()))?;
        let server = hex::encode(&Sha256::digest(url.as_str().as_bytes())[..8]);
        let path = folder.join(format!("{user}@{server}.json"));
        let file = private(OpenOptions::new().append(true).create(true))
            .open(path.with_extension("lock"))
            .with_context(|| format!("can't create the lock file for {}", path.display()))?;
        let kept = match file.try_lock() {
            Ok(()) => Some(Kept { path, _lock: file }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => {
                return Err(error).context("can't lock the saved login");
            }
        };
        Ok(Tokens { kept })
    }

    /// The saved refresh token, unless another client uses it.
    pub fn refresh_token(&self) -> Result<Option<String>> {
        let Some(Kept { path, .. }) = &self.kept else {
            return Ok(None);
        };
        let text = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("can't read {}", path.display()))?,
        };
        // A damaged file counts as no file: the user can log in with the password.
        let saved: Value = serde_json::from_slice(&text).unwrap_or_default();
        Ok(saved["refresh_token"].as_str().map(str::to_owned))
    }

    /// The chat goes on if the tokens can't be saved.
    pub fn save_or_note(&self, login: &Login, note: &dyn Fn(&str)) {
        if let Err(error) = self.save(login) {
            note(&format!("can't save the login: {error:#}"));
        }
    }

    fn save(&self, login: &Login) -> Result<()> {
        let Some(Kept { path, .. }) = &self.kept else {
            return Ok(());
        };
        let saved = json!({ "user": login.user, "refresh_token": login.refresh_token.expose() });
        let temporary = path.with_extension("new");
        let mut file = private(OpenOptions::new().write(true).create(true).truncate(true))
            .open(&temporary)
            .with_context(|| format!("can't write {}", temporary.display()))?;
        file.write_all(saved.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        Ok(())
    }

    /// Deletes the tokens of a login that has ended.
    pub fn delete(&self) {
        if let Some(Kept { path, .. }) = &self.kept {
            // If this fails, the server refuses the token at the next start, and it is deleted then.
            let _ = fs::remove_file(path);
        }
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(folder: &Path, user: &str) -> Tokens {
        let url = "http://127.0.0.1:1".parse().unwrap();
        Tokens::open_in(folder, &url, &UserName::parse(user).unwrap()).unwrap()
    }

    fn login(refresh_token: &str) -> Login {
        let login = json!({"user": "ann", "token": "t", "refresh_token": refresh_token,
            "expires_in": 900});
        serde_json::from_value(login).unwrap()
    }

    #[test]
    fn tokens_are_saved_for_their_user_alone_and_nobody_else_may_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = open(folder.path(), "ann");
        assert_eq!(tokens.refresh_token().unwrap(), None);
        tokens.save(&login("r-1")).unwrap();
        tokens.save(&login("r-2")).unwrap();
        drop(tokens);
        let tokens = open(folder.path(), "ann");
        assert_eq!(tokens.refresh_token().unwrap().as_deref(), Some("r-2"));
        let path = &tokens.kept.as_ref().unwrap().path;
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(open(folder.path(), "bob").refresh_token().unwrap(), None);
        tokens.delete();
        assert_eq!(tokens.refresh_token().unwrap(), None);
    }

    #[test]
    fn second_client_of_a_user_shares_nothing_with_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), "ann");
        first.save(&login("r-1")).unwrap();
        let second = open(folder.path(), "ann");
        assert_eq!(second.refresh_token().unwrap(), None);
        second.save(&login("r-9")).unwrap();
        assert_eq!(first.refresh_token().unwrap().as_deref(), Some("r-1"));
    }

    #[test]
    fn damaged_file_counts_as_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = open(folder.path(), "ann");
        fs::write(&tokens.kept.as_ref().unwrap().path, "{").unwrap();
        assert_eq!(tokens.refresh_token().unwrap(), None);
    }
}
