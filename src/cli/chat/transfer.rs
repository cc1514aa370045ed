//! Uploads and downloads, which run beside the chat.

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

/// Size of the pieces in which an upload is read.
const CHUNK_BYTES: usize = 64 << 10;

pub(super) async fn upload(
    credentials: &Credentials,
    screen: &Screen,
    path: &Path,
) -> Result<Uploaded> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("{} has no valid file name", path.display()))?;
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

/// Downloads a file to a path that does not exist yet. The file appears there only when it is
/// complete.
pub(super) async fn download(
    credentials: &Credentials,
    screen: &Screen,
    id: FileId,
    to: &Path,
) -> Result<u64> {
    if fs::try_exists(to).await? {
        bail!("{} already exists", to.display());
    }
    let partial = partial_path(to);
    let fetched = fetch(credentials, screen, id, &partial).await;
    if fetched.is_err() {
        // Best effort: the error of the download is the one to report.
        let _ = fs::remove_file(&partial).await;
        return fetched;
    }
    fs::rename(&partial, to).await?;
    fetched
}

async fn fetch(
    credentials: &Credentials,
    screen: &Screen,
    id: FileId,
    partial: &Path,
) -> Result<u64> {
    let (size, bytes) = credentials.api().download(&credentials.token(), id).await?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(partial)
        .await
        .with_context(|| format!("can't write {}", partial.display()))?;
    let bar = screen.bar(&partial.to_string_lossy(), size.unwrap_or(0));
    let mut bytes = pin!(bytes);
    while let Some(chunk) = bytes.try_next().await? {
        file.write_all(&chunk).await?;
        bar.inc(chunk.len() as u64);
    }
    file.flush().await?;
    bar.finish_and_clear();
    Ok(bar.position())
}

fn partial_path(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// The default path of a download: in the current folder, whatever path the sender used.
pub(super) fn local_name(id: FileId, sent_as: Option<&str>) -> PathBuf {
    sent_as
        .and_then(|name| Path::new(name).file_name()?.to_str())
        .filter(|name| !name.chars().any(char::is_control) && !name.starts_with('.'))
        .map_or_else(|| id.to_string().into(), PathBuf::from)
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
