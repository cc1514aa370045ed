//! `lakechat put`: uploads files and folders, and continues after a lost connection.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::chat::LoginArgs;
use super::transfer::{Retries, bar, log_in, printable, while_moving};
use lakechat_client::{CallError, Credentials};
use lakechat_core::domain::FileId;

/// Bytes that one request appends, and that are sent again at most after a cut. Held in memory, so that
/// a pipe can be sent again, too.
const CHUNK_BYTES: usize = 16 << 20;

/// Bytes after which the bar moves.
const PIECE_BYTES: usize = 64 << 10;

const AFTER_HELP: &str = "\
Prints a line for each file: its id, a tab, and its name. A connection that breaks is made again for up \
to five minutes, and the upload goes on at most 16 MiB before where it was cut, on any server. The \
SHA-256 that the server has computed is compared with that of what was read.

Folders are uploaded with all files in them, whose names begin with the folder's. Symbolic links in them \
are left out.

Exit codes: 0: everything was uploaded; 1: something was not, and the output names what.";

/// Upload files and folders
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct PutArgs {
    #[command(flatten)]
    login: LoginArgs,
    /// The name of what comes from the input
    #[arg(long, default_value = "stdin", value_name = "NAME")]
    name: String,
    /// Files and folders; `-` is the input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Uploads everything that can be, and fails if something can't.
pub async fn run(args: PutArgs) -> Result<()> {
    let credentials = log_in(&args.login).await.map_err(|e| printable(&e))?;
    let (mut failed, mut count) = (0, 0);
    let mut report = |outcome: Result<(FileId, String)>, what: &str| {
        count += 1;
        match outcome {
            Ok((id, name)) => println!("{id}\t{}", name.escape_debug()),
            Err(error) => {
                failed += 1;
                eprintln!("lakechat: {what} is not uploaded: {:#}", printable(&error));
            }
        }
    };
    for path in &args.paths {
        if path.as_os_str() == "-" {
            let source = Source::new(tokio::io::stdin(), &args.name, None);
            report(source.upload(&credentials).await, "the input");
            continue;
        }
        for file in files_below(path)? {
            let what = file.path.display().to_string();
            report(file.upload(&credentials).await, &what);
        }
    }
    ensure!(failed == 0, "{failed} of {count} files are not uploaded");
    Ok(())
}

/// A file on this machine.
struct LocalFile {
    path: PathBuf,
    /// Under which it is uploaded.
    name: Result<String>,
}

/// A file, or all files in a folder and its folders, by name.
fn files_below(path: &Path) -> Result<Vec<LocalFile>> {
    let about = std::fs::metadata(path).with_context(|| path.display().to_string())?;
    let canonical = path.canonicalize();
    let base = canonical
        .as_deref()
        .unwrap_or(path)
        .parent()
        .map(Path::to_owned);
    let root = canonical.unwrap_or_else(|_| path.to_owned());
    let mut found = Vec::new();
    collect(&root, &about, &mut found)?;
    let base = base.unwrap_or_default();
    let file = |path: PathBuf| {
        let name = path.strip_prefix(&base).unwrap_or(&path).to_str();
        LocalFile {
            name: name.map(str::to_owned).context("its name is not UTF-8"),
            path,
        }
    };
    Ok(found.into_iter().map(file).collect())
}

fn collect(path: &Path, about: &Metadata, found: &mut Vec<PathBuf>) -> Result<()> {
    if !about.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let about = entry.metadata()?;
        if about.is_dir() || about.is_file() {
            collect(&entry.path(), &about, found)?;
        }
    }
    Ok(())
}

impl LocalFile {
    async fn upload(self, credentials: &Arc<Credentials>) -> Result<(FileId, String)> {
        let name = self.name?;
        let file = File::open(&self.path).await?;
        let about = file.metadata().await?;
        if !about.is_file() {
            bail!("it is not a file; `-` uploads what comes through a pipe");
        }
        // What a file system says of a size may be wrong (`/proc`), so only the bytes count.
        let size = Some(about.len()).filter(|size| *size > 0);
        Source::new(file, &name, size).upload(credentials).await
    }
}

/// Bytes on their way to the server.
struct Source<R> {
    input: R,
    name: String,
    bar: ProgressBar,
    sum: Sha256,
    /// Bytes that the server has stored.
    sent: u64,
}

impl<R: AsyncRead + Unpin> Source<R> {
    fn new(input: R, name: &str, expected: Option<u64>) -> Source<R> {
        Source {
            input,
            name: name.to_owned(),
            bar: bar(name, expected),
            sum: Sha256::new(),
            sent: 0,
        }
    }

    /// Uploads everything up to the end of the input.
    async fn upload(mut self, credentials: &Arc<Credentials>) -> Result<(FileId, String)> {
        let uploaded = self.upload_all(credentials).await;
        self.bar.finish_and_clear();
        uploaded.map(|id| (id, self.name))
    }

    async fn upload_all(&mut self, credentials: &Arc<Credentials>) -> Result<FileId> {
        let mut chunk = self.next_chunk().await?;
        let name = self.name.clone();
        let id = retried(|| {
            let name = name.clone();
            credentials.authorized(move |token| {
                let (credentials, name) = (credentials.clone(), name.clone());
                async move { credentials.api().create_upload(&token, &name).await }
            })
        });
        let id = id.await?;
        loop {
            // The last chunk is known by the one behind it.
            let following = match chunk.len() {
                CHUNK_BYTES => self.next_chunk().await?,
                _ => Bytes::new(),
            };
            let is_last = following.is_empty();
            self.send(credentials, id, chunk, is_last).await?;
            if is_last {
                break;
            }
            chunk = following;
        }
        let about = retried(|| {
            credentials.authorized(|token| {
                let credentials = credentials.clone();
                async move { credentials.api().file(&token, id).await }
            })
        });
        let (about, sum) = (about.await?, hex::encode(self.sum.clone().finalize()));
        ensure!(
            about.sha256 == sum,
            "the server has different bytes: SHA-256 {} instead of {sum}",
            about.sha256
        );
        Ok(id)
    }

    /// The next bytes of the input; fewer than a chunk at its end.
    async fn next_chunk(&mut self) -> Result<Bytes> {
        let mut chunk = Vec::new();
        let mut rest = (&mut self.input).take(CHUNK_BYTES as u64);
        rest.read_to_end(&mut chunk)
            .await
            .context("it can't be read")?;
        self.sum.update(&chunk);
        Ok(chunk.into())
    }

    /// Sends a chunk, as often as it takes.
    async fn send(
        &mut self,
        credentials: &Arc<Credentials>,
        id: FileId,
        chunk: Bytes,
        is_last: bool,
    ) -> Result<()> {
        let (begin, end) = (self.sent, self.sent + chunk.len() as u64);
        let mut retries = Retries::new();
        loop {
            let rest = chunk.slice((self.sent - begin) as usize..);
            self.bar.set_position(self.sent);
            let (bar, at) = (&self.bar, self.sent);
            let length = is_last.then_some(end);
            let sending = credentials.authorized(|token| {
                let (credentials, rest, bar) = (credentials.clone(), rest.clone(), bar.clone());
                async move {
                    let bytes = in_pieces(rest, bar);
                    credentials
                        .api()
                        .append(&token, id, at, length, bytes)
                        .await
                }
            });
            let failure = match while_moving(bar, sending).await {
                Some(Ok(offset)) if offset == end => {
                    self.sent = end;
                    return Ok(());
                }
                Some(Ok(offset)) => bail!("the server has {offset} bytes and was sent {end}"),
                Some(Err(error)) => Some(error),
                None => None,
            };
            if let Some(error) = failure {
                retries.pause(error).await?;
            }
            let offset = retried(|| {
                credentials.authorized(|token| {
                    let credentials = credentials.clone();
                    async move { credentials.api().upload_offset(&token, id).await }
                })
            });
            let offset = offset.await?;
            ensure!(
                (begin..=end).contains(&offset),
                "the upload is at {offset}, which this client has not sent"
            );
            if offset > self.sent {
                retries.moved();
                self.sent = offset;
            }
        }
    }
}

/// The bytes in pieces, of which each moves the bar when it is taken.
fn in_pieces(
    bytes: Bytes,
    bar: ProgressBar,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let pieces = (0..bytes.len()).step_by(PIECE_BYTES).map(move |begin| {
        let end = bytes.len().min(begin + PIECE_BYTES);
        bytes.slice(begin..end)
    });
    stream::iter(pieces).map(move |piece| {
        bar.inc(piece.len() as u64);
        Ok(piece)
    })
}

/// Calls until it succeeds, or further attempts make no sense.
async fn retried<T, F: Future<Output = Result<T, CallError>>>(
    mut call: impl FnMut() -> F,
) -> Result<T> {
    let mut retries = Retries::new();
    loop {
        match call().await {
            Ok(done) => return Ok(done),
            Err(error) => retries.pause(error).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_folder_have_names_that_begin_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("logs");
        std::fs::create_dir_all(root.join("b/c")).expect("made");
        for name in ["a", "b/c/d", "b/z"] {
            std::fs::write(root.join(name), name).expect("written");
        }
        std::os::unix::fs::symlink("a", root.join("link")).expect("made");
        let names = |path: &Path| -> Vec<String> {
            let files = files_below(path).expect("readable");
            files
                .into_iter()
                .map(|file| file.name.expect("UTF-8"))
                .collect()
        };
        assert_eq!(names(&root), ["logs/a", "logs/b/c/d", "logs/b/z"]);
        assert_eq!(names(&root.join("b/z")), ["z"]);
        assert!(files_below(&root.join("gone")).is_err());
    }
}
