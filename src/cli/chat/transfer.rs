//! Files to and from the server, while the talk goes on.

use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::{Context, Result, bail};
use futures_util::TryStreamExt;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use super::screen::Screen;
use lakechat_client::{Credentials, Uploaded};
use lakechat_core::domain::FileId;

/// How much of a file is in memory at once.
const CHUNK_BYTES: usize = 64 << 10;

pub(super) async fn upload(
    credentials: &Credentials,
    screen: &Screen,
    path: &Path,
) -> Result<Uploaded> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} has no name to send", path.display()))?;
    let file = File::open(path).await?;
    let about = file.metadata().await?;
    if !about.is_file() {
        bail!("{} is not a file", path.display());
    }
    let bar = screen.bar(name, about.len());
    let shown = bar.clone();
    let bytes = ReaderStream::with_capacity(file, CHUNK_BYTES)
        .inspect_ok(move |chunk| shown.inc(chunk.len() as u64));
    let uploaded = credentials
        .api()
        .upload(&credentials.token(), name, about.len(), bytes)
        .await;
    bar.finish_and_clear();
    Ok(uploaded?)
}

/// Fetches a file to a path where nothing lies yet; it is there whole or not at all.
pub(super) async fn download(
    credentials: &Credentials,
    screen: &Screen,
    id: FileId,
    to: &Path,
) -> Result<u64> {
    if fs::try_exists(to).await? {
        bail!("{} is there already", to.display());
    }
    let half = half_of(to);
    let got = fetch(credentials, screen, id, &half).await;
    if got.is_err() {
        // Best effort: the failure that is told is the first one.
        let _ = fs::remove_file(&half).await;
        return got;
    }
    fs::rename(&half, to).await?;
    got
}

async fn fetch(credentials: &Credentials, screen: &Screen, id: FileId, half: &Path) -> Result<u64> {
    let (size, bytes) = credentials.api().download(&credentials.token(), id).await?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(half)
        .await
        .with_context(|| format!("{} can't be written", half.display()))?;
    let bar = screen.bar(&half.to_string_lossy(), size.unwrap_or(0));
    let mut bytes = pin!(bytes);
    while let Some(chunk) = bytes.try_next().await? {
        file.write_all(&chunk).await?;
        bar.inc(chunk.len() as u64);
    }
    file.flush().await?;
    bar.finish_and_clear();
    Ok(bar.position())
}

fn half_of(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Where a file goes unless the user says: the folder one is in, whatever the sender called it.
pub(super) fn local_name(id: FileId, sent_as: Option<&str>) -> PathBuf {
    let name = sent_as.and_then(|name| Path::new(name).file_name()?.to_str());
    let name = name.filter(|name| !name.chars().any(char::is_control) && !name.starts_with('.'));
    PathBuf::from(name.map_or_else(|| id.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_do_not_choose_the_folder() {
        let id = FileId::random();
        for (sent_as, local) in [
            (Some("notes.txt"), "notes.txt"),
            (Some("../../notes.txt"), "notes.txt"),
            (Some("/etc/passwd"), "passwd"),
            (Some("日本.txt"), "日本.txt"),
            (Some(".."), &*id.to_string()),
            (Some(".bashrc"), &*id.to_string()),
            (Some("a\u{1b}b"), &*id.to_string()),
            (None, &*id.to_string()),
        ] {
            assert_eq!(local_name(id, sent_as), PathBuf::from(local), "{sent_as:?}");
        }
    }
}
