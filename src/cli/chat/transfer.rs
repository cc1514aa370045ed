//! Uploads and downloads, which run beside the chat.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use rustix::fs::OFlags;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use super::screen::{Screen, TransferProgress};
use lakechat_client::{CallError, Credentials, Uploaded};
use lakechat_core::domain::FileId;

/// Size of the pieces in which an upload is read.
const CHUNK_BYTES: usize = 64 << 10;

/// A transfer that has not moved for this long is given up.
const STALL_LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn upload(
    credentials: &Arc<Credentials>,
    screen: &Screen,
    path: &Path,
) -> Result<Uploaded> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("{} has no valid file name", path.display()))?;
    // Opened for each attempt. An error here is not one of the call.
    let send = |token: String| async move {
        let content = match Content::open(path).await {
            Ok(content) => content,
            Err(error) => return Ok(Err(error)),
        };
        let progress = Arc::new(screen.transfer(name, content.size));
        let size = content.size;
        let bytes = content.into_stream(progress.clone());
        let sending = credentials.api().upload(&token, name, size, bytes);
        match while_moving(&progress, sending).await {
            Ok(sent) => sent.map(Ok),
            Err(stalled) => Ok(Err(stalled.into())),
        }
    };
    credentials.authorized(send).await?
}

/// The content of a file. What a file system says of a file's size may be wrong (`/proc`), and may
/// change while the file is read.
struct Content {
    /// None if it is not known.
    size: Option<u64>,
    /// All of a small file.
    first: Vec<u8>,
    rest: File,
}

impl Content {
    async fn open(path: &Path) -> Result<Content> {
        // Without blocking: opening a named pipe would wait for its writer.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .await
            .with_context(|| format!("can't open {}", path.display()))?;
        let about = file.metadata().await?;
        if !about.is_file() {
            bail!("{} is not a file", path.display());
        }
        let mut first = Vec::with_capacity(CHUNK_BYTES);
        let mut beginning = (&mut file).take(CHUNK_BYTES as u64);
        let read = beginning.read_to_end(&mut first).await;
        read.with_context(|| format!("can't read {}", path.display()))?;
        let size = if first.len() < CHUNK_BYTES {
            Some(first.len() as u64)
        } else {
            Some(about.len()).filter(|size| *size >= CHUNK_BYTES as u64)
        };
        Ok(Content {
            size,
            first,
            rest: file,
        })
    }

    /// The bytes, as many as `size` says, or an error.
    fn into_stream(
        self,
        progress: Arc<TransferProgress>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let limit = self.size.unwrap_or(u64::MAX);
        let rest = self.rest.take(limit - self.first.len() as u64);
        let moved = progress.clone();
        let check = async move {
            match self.size {
                Some(size) if progress.done() < size => Err(io::Error::other(
                    "the file became shorter while it was read",
                )),
                _ => Ok(Bytes::new()),
            }
        };
        stream::iter([Ok(Bytes::from(self.first))])
            .chain(ReaderStream::with_capacity(rest, CHUNK_BYTES))
            .inspect_ok(move |chunk| moved.add(chunk.len()))
            .chain(stream::once(check))
    }
}

/// Downloads a file to a path that does not exist yet. The file appears there only when it is
/// complete; until then it has a name of its own beside it.
pub(super) async fn download(
    credentials: &Arc<Credentials>,
    screen: &Screen,
    id: FileId,
    to: &Path,
) -> Result<u64> {
    let exists = || format!("{} already exists", to.display());
    if fs::try_exists(to).await? {
        bail!(exists());
    }
    let request = |token: String| async move { credentials.api().download(&token, id).await };
    let answer = timeout(STALL_LIMIT, credentials.authorized(request)).await;
    let (size, bytes) = answer.map_err(|_| Stalled)??;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let partial = tempfile::Builder::new()
        .prefix(".lakechat-")
        .suffix(".part")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .with_context(|| format!("can't write to {}", folder.display()))?;
    // The partial file is removed when this is dropped.
    let (file, partial) = partial.into_parts();
    let progress = screen.transfer(&to.to_string_lossy(), size);
    while_moving(&progress, save(bytes, File::from_std(file), &progress)).await??;
    match partial.persist_noclobber(to) {
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => bail!(exists()),
        saved => saved.with_context(|| format!("can't write {}", to.display()))?,
    }
    Ok(progress.done())
}

async fn save(
    bytes: impl Stream<Item = Result<Bytes, CallError>>,
    mut file: File,
    progress: &TransferProgress,
) -> Result<()> {
    let mut bytes = pin!(bytes);
    while let Some(chunk) = bytes.try_next().await? {
        file.write_all(&chunk).await?;
        progress.add(chunk.len());
    }
    file.flush().await?;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("nothing was transferred for {} s", STALL_LIMIT.as_secs())]
struct Stalled;

/// Runs a transfer as long as it moves.
async fn while_moving<T>(
    progress: &TransferProgress,
    transfer: impl Future<Output = T>,
) -> Result<T, Stalled> {
    let mut transfer = pin!(transfer);
    loop {
        let before = progress.done();
        match timeout(STALL_LIMIT, &mut transfer).await {
            Ok(done) => return Ok(done),
            Err(_) if progress.done() == before => return Err(Stalled),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;
    use tokio::time::sleep;

    use super::*;

    async fn read(path: &Path) -> Result<(Option<u64>, Vec<u8>)> {
        let content = Content::open(path).await?;
        let size = content.size;
        let progress = Arc::new(Screen::default().transfer("f", size));
        let chunks: Vec<_> = content.into_stream(progress).try_collect().await?;
        Ok((size, chunks.concat()))
    }

    #[tokio::test]
    async fn content_counts_and_not_the_size_that_the_file_system_tells() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("f");
        for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 300_000] {
            let bytes = vec![7; size];
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&path).await.unwrap(), (Some(size as u64), bytes));
        }
        let (size, bytes) = read(Path::new("/proc/cpuinfo")).await.unwrap();
        assert!(!bytes.is_empty());
        assert!(size.is_none_or(|size| size == bytes.len() as u64));
    }

    #[tokio::test]
    async fn file_that_grows_or_shrinks_meanwhile_is_no_mixture() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("f");
        for (grown, read) in [(400_000, Some(300_000)), (200_000, None)] {
            fs::write(&path, vec![7; 300_000]).unwrap();
            let content = Content::open(&path).await.unwrap();
            fs::write(&path, vec![7; grown]).unwrap();
            let progress = Arc::new(Screen::default().transfer("f", content.size));
            let chunks: Result<Vec<_>, _> = content.into_stream(progress).try_collect().await;
            assert_eq!(chunks.ok().map(|chunks| chunks.concat().len()), read);
        }
    }

    #[tokio::test]
    async fn pipes_devices_and_folders_are_refused_at_once() {
        let folder = tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        for path in [&*pipe, Path::new("/dev/zero"), folder.path()] {
            let error = Content::open(path).await.err().expect("not a file");
            assert!(error.to_string().ends_with("is not a file"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn transfer_is_given_up_when_it_no_longer_moves() {
        let progress = Screen::default().transfer("f", None);
        let moving = async {
            for _ in 0..10 {
                sleep(STALL_LIMIT.mul_f32(0.9)).await;
                progress.add(1);
            }
            std::future::pending::<()>().await;
        };
        assert!(while_moving(&progress, moving).await.is_err());
        assert_eq!(progress.done(), 10);
    }
}
