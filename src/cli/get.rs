//! `lakechat get`: downloads files, and continues after a lost connection.

use std::fs::OpenOptions;
use std::io::{SeekFrom, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use futures_util::TryStreamExt;
use indicatif::ProgressBar;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::chat::{LoginArgs, local_name};
use super::transfer::{Retries, bar, log_in, printable, while_moving};
use lakechat_client::{CallError, Credentials, StoredFile};
use lakechat_core::domain::FileId;

const AFTER_HELP: &str = "\
Prints the path of each file. A connection that breaks is made again for up to five minutes, and the \
download goes on where it was cut. So does the next run of the same command, by the file that the first \
one left: `.lakechat-<id>.part` in the target's folder. A file that exists is not replaced.

The SHA-256 is compared before a file gets its name; with `-o -`, after the last byte.

Exit codes: 0: everything was downloaded; 1: something was not, and the output names what.";

/// Download files
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct GetArgs {
    #[command(flatten)]
    login: LoginArgs,
    /// A folder, or the name of the only file; `-` is the output
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Ids of files, or URLs that end with one
    #[arg(required = true, value_name = "FILE", value_parser = file_id)]
    files: Vec<FileId>,
}

fn file_id(text: &str) -> Result<FileId, &'static str> {
    let id = text.rsplit('/').next().unwrap_or_default();
    FileId::parse_given(id).ok_or("an id such as 3b241101-e2bb-4255-8caf-4136c566a962")
}

/// Downloads everything that can be, and fails if something can't.
pub async fn run(args: GetArgs) -> Result<()> {
    let credentials = log_in(&args.login).await.map_err(|e| printable(&e))?;
    let is_one = args.files.len() == 1;
    let mut failed = 0;
    for id in &args.files {
        let got = get(&credentials, *id, args.output.as_deref(), is_one).await;
        if let Err(error) = got {
            failed += 1;
            eprintln!("lakechat: {id} is not downloaded: {:#}", printable(&error));
        }
    }
    ensure!(
        failed == 0,
        "{failed} of {} files are not downloaded",
        args.files.len()
    );
    Ok(())
}

async fn get(
    credentials: &Arc<Credentials>,
    id: FileId,
    output: Option<&Path>,
    is_one: bool,
) -> Result<()> {
    let file = credentials.authorized(|token| {
        let credentials = credentials.clone();
        async move { credentials.api().file(&token, id).await }
    });
    let file = file.await?;
    let name = local_name(id, Some(&file.name));
    let target = match output {
        Some(output) if output.as_os_str() == "-" => {
            let mut download = Download::new(file, Target::Output);
            return download.finish(credentials).await;
        }
        None => name,
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(path) if is_one => path.to_owned(),
        Some(path) => bail!("{} is not a folder", path.display()),
    };
    ensure!(!target.exists(), "{} exists already", target.display());
    let part = target.with_file_name(format!(".lakechat-{id}.part"));
    let opened = open_part(&part).with_context(|| format!("can't write {}", part.display()))?;
    let mut download = Download::new(file, Target::Part(opened));
    download.take_up().await?;
    download.finish(credentials).await?;
    let part = TempPath::try_from_path(&part)?;
    let named = part.persist_noclobber(&target);
    named.with_context(|| format!("can't write {}", target.display()))?;
    println!("{}", target.display());
    Ok(())
}

/// Opens the file of a download that is under way. Only one process writes to it, and only to a file of
/// its own: somebody else's link may stand in a folder that others can write to.
fn open_part(path: &Path) -> Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let part = options
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    part.try_lock()
        .context("another process is downloading it")?;
    Ok(File::from_std(part))
}

/// Where the bytes go.
enum Target {
    Output,
    Part(File),
}

struct Download {
    file: StoredFile,
    target: Target,
    bar: ProgressBar,
    sum: Sha256,
    /// Bytes that the target has.
    have: u64,
}

impl Download {
    fn new(file: StoredFile, target: Target) -> Download {
        Download {
            bar: bar(&file.name, Some(file.size)),
            file,
            target,
            sum: Sha256::new(),
            have: 0,
        }
    }

    /// Goes on with what an earlier run has left.
    async fn take_up(&mut self) -> Result<()> {
        let Target::Part(part) = &mut self.target else {
            return Ok(());
        };
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = part.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            self.sum.update(&buffer[..read]);
            self.have += read as u64;
        }
        if self.have > self.file.size {
            part.set_len(0).await?;
            part.seek(SeekFrom::Start(0)).await?;
            (self.sum, self.have) = (Sha256::new(), 0);
        }
        Ok(())
    }

    /// Downloads the rest, and compares the sum.
    async fn finish(&mut self, credentials: &Arc<Credentials>) -> Result<()> {
        let done = self.download(credentials).await;
        self.bar.finish_and_clear();
        done?;
        let sum = hex::encode(self.sum.clone().finalize());
        if sum == self.file.sha256 {
            return Ok(());
        }
        if let Target::Part(part) = &mut self.target {
            part.set_len(0).await?;
        }
        let expected = &self.file.sha256;
        bail!("the bytes that arrived have the SHA-256 {sum} instead of {expected}")
    }

    async fn download(&mut self, credentials: &Arc<Credentials>) -> Result<()> {
        let mut retries = Retries::new();
        while self.have < self.file.size {
            let before = self.have;
            self.bar.set_position(before);
            let bar = self.bar.clone();
            let failure = match while_moving(&bar, self.attempt(credentials)).await {
                Some(attempt) => attempt?,
                None => None,
            };
            if self.have > before {
                retries.moved();
            }
            if let Some(error) = failure {
                retries.pause(error).await?;
            }
        }
        if let Target::Part(part) = &mut self.target {
            part.sync_all().await?;
        }
        Ok(stdout().flush()?)
    }

    /// One request for the rest. Returns why it ended, if the server or the way to it is the reason.
    async fn attempt(&mut self, credentials: &Arc<Credentials>) -> Result<Option<CallError>> {
        let (id, from) = (self.file.id, self.have);
        let asked = credentials.authorized(|token| {
            let credentials = credentials.clone();
            async move { credentials.api().download_from(&token, id, from).await }
        });
        let mut bytes = match asked.await {
            Ok(bytes) => Box::pin(bytes),
            Err(error) => return Ok(Some(error)),
        };
        loop {
            match bytes.try_next().await {
                Ok(None) => return Ok(None),
                Ok(Some(chunk)) => {
                    ensure!(
                        self.have + chunk.len() as u64 <= self.file.size,
                        "the server sends more bytes than the file has"
                    );
                    match &mut self.target {
                        Target::Output => stdout().write_all(&chunk)?,
                        Target::Part(part) => part.write_all(&chunk).await?,
                    }
                    self.sum.update(&chunk);
                    self.have += chunk.len() as u64;
                    self.bar.inc(chunk.len() as u64);
                }
                Err(error) => {
                    if let Target::Part(part) = &mut self.target {
                        part.flush().await?;
                    }
                    return Ok(Some(error));
                }
            }
        }
    }
}
