//! Asking the NameNode: every question has a deadline and a name in the metrics.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdfs_native::client::{FileStatus, IORuntime};
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};
use metrics::{counter, histogram};
use tokio::runtime::Handle;
use tracing::warn;

use crate::hdfs::exceptions::{broken, is_missing, refused, unavailable};
use crate::hdfs::store::OpenError;
use crate::hdfs::{HadoopConf, Settings};
use lakechat_core::ports::PortError;

/// Files and folders are for lakechat's eyes only: people's private files lie here.
const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// The NameNode, or those of a name service.
pub(in crate::hdfs) struct NameNode {
    settings: Settings,
    conf: HadoopConf,
    runtime: Handle,
    current: Mutex<Current>,
}

struct Current {
    client: Client,
    since: Instant,
}

impl NameNode {
    /// Asks nobody anything.
    pub fn new(settings: &Settings, conf: HadoopConf) -> Result<NameNode, OpenError> {
        let runtime = Handle::current();
        let client = build(settings, &conf, &runtime)?;
        Ok(NameNode {
            settings: settings.clone(),
            conf,
            runtime,
            current: Mutex::new(Current {
                client,
                since: Instant::now(),
            }),
        })
    }

    pub fn client(&self) -> Client {
        self.current().client.clone()
    }

    /// What became of a question. Dropping it leaves open whether a change was made.
    pub async fn answer<T>(
        &self,
        call: &'static str,
        asked: impl Future<Output = hdfs_native::Result<T>> + Send,
    ) -> Result<T, PortError> {
        let begun = Instant::now();
        let answered = tokio::time::timeout(self.settings.answer, asked).await;
        histogram!("lakechat_hdfs_call_seconds", "call" => call).record(begun.elapsed());
        let failed = match answered {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => port_error(error, &self.settings.url),
            Err(_) => {
                self.connect_anew();
                self.silent(call)
            }
        };
        counter!("lakechat_hdfs_call_failures_total", "call" => call).increment(1);
        Err(failed)
    }

    fn silent(&self, call: &str) -> PortError {
        let Settings { url, answer, .. } = &self.settings;
        let seconds = answer.as_secs_f32();
        unavailable(format!("{url} did not answer {call} within {seconds} s"))
    }

    /// The library would wait on a connection to a host that is gone until the kernel gives it up,
    /// after a quarter of an hour. Files being written keep the client that they began with.
    fn connect_anew(&self) {
        let mut current = self.current();
        // Not for each of the questions that ran into the same silence.
        if current.since.elapsed() < 2 * self.settings.answer {
            return;
        }
        match build(&self.settings, &self.conf, &self.runtime) {
            Ok(client) => current.client = client,
            Err(error) => warn!(%error, "the client of HDFS can't be made anew"),
        }
        current.since = Instant::now();
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there, if anything is.
    pub async fn stat(&self, path: &str) -> Result<Option<FileStatus>, PortError> {
        let client = self.client();
        let asked = async { found(client.get_file_info(path).await) };
        self.answer("stat", asked).await
    }

    /// Removes something; tells whether it was there.
    pub async fn delete(&self, path: &str, with_all_below: bool) -> Result<bool, PortError> {
        let client = self.client();
        let asked = async { Ok(found(client.delete(path, with_all_below).await)? == Some(true)) };
        self.answer("delete", asked).await
    }

    pub async fn make_folder(&self, path: &str) -> Result<(), PortError> {
        let client = self.client();
        self.answer("mkdirs", client.mkdirs(path, FOLDER, true))
            .await
    }

    /// Renames a file; tells whether it and the folder it goes to were there.
    pub async fn rename(&self, from: &str, to: &str) -> Result<bool, PortError> {
        let client = self.client();
        let asked = async { Ok(found(client.rename(from, to, false).await)?.is_some()) };
        self.answer("rename", asked).await
    }

    /// Opens a file that was not there for writing, with as many copies of each block as is wanted
    /// unless it says how many.
    pub async fn create(&self, path: &str, copies: Option<u32>) -> Result<FileWriter, PortError> {
        let client = self.client();
        let options = WriteOptions {
            replication: copies.or(self.settings.replication),
            permission: FILE,
            ..WriteOptions::default()
        };
        self.answer("create", client.create(path, options)).await
    }

    pub async fn set_copies(&self, path: &str, copies: u32) -> Result<(), PortError> {
        let client = self.client();
        let set = self
            .answer("set_replication", client.set_replication(path, copies))
            .await;
        set.map(drop)
    }

    /// Makes an empty file, or makes it anew.
    pub async fn touch(&self, path: &str) -> Result<(), PortError> {
        let client = self.client();
        let options = WriteOptions::default().permission(FILE).overwrite(true);
        let asked = async { client.create(path, options).await?.close().await };
        self.answer("touch", asked).await
    }
}

fn build(settings: &Settings, conf: &HadoopConf, runtime: &Handle) -> Result<Client, HdfsError> {
    let mut builder = ClientBuilder::new()
        .with_url(&settings.url)
        .with_io_runtime(IORuntime::from(runtime.clone()))
        .with_config(tuning(settings));
    if let Some(folder) = &conf.folder {
        builder = builder.with_config_dir(folder.to_string_lossy());
    }
    // With Kerberos a name beside the ticket's would ask to act for somebody else.
    if !conf.is_secure {
        builder = builder.with_user(&settings.user);
    }
    builder.build()
}

/// A NameNode that refuses connections is asked for some seconds, and those of a name service for
/// as long as a failover between them may take.
fn tuning(settings: &Settings) -> [(&'static str, String); 5] {
    let attempts = if settings.is_service() { 8 } else { 3 };
    let millis = |time: Duration| time.as_millis().to_string();
    [
        ("dfs.client.socket-timeout", millis(settings.silence)),
        ("dfs.client.failover.max.attempts", attempts.to_string()),
        ("dfs.client.failover.sleep.base.millis", "250".to_owned()),
        ("dfs.client.failover.sleep.max.millis", "4000".to_owned()),
        // A client made anew must not begin with the same dead NameNode each time.
        ("dfs.client.failover.random.order", "true".to_owned()),
    ]
}

/// Nothing, where the answer is that there is no such thing.
fn found<T>(answer: hdfs_native::Result<T>) -> hdfs_native::Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(HdfsError::FileNotFound(_)) => Ok(None),
        Err(HdfsError::RPCError(class, _)) if is_missing(&class) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The port's error for one of the library, when talking to `whom`.
pub(in crate::hdfs) fn port_error(error: HdfsError, whom: &str) -> PortError {
    match error {
        HdfsError::RPCError(class, text) | HdfsError::FatalRPCError(class, text) => {
            refused(&class, &text)
        }
        HdfsError::IOError(error) => unavailable(format!(
            "{whom} can't be reached; is a NameNode of HDFS there? ({error})"
        )),
        HdfsError::DataTransferError(reason) => {
            // What follows is a dump of everything that is known of each node.
            let reason = reason.split(": [").next().unwrap_or_default();
            unavailable(format!("a DataNode failed, and no other helped: {reason}"))
        }
        HdfsError::OperationFailed(_) | HdfsError::InternalError(_) => {
            unavailable(error.to_string())
        }
        HdfsError::ChecksumError
        | HdfsError::InvalidPath(_)
        | HdfsError::InvalidArgument(_)
        | HdfsError::UrlParseError(_)
        | HdfsError::AlreadyExists(_)
        | HdfsError::FileNotFound(_)
        | HdfsError::BlocksNotFound(_)
        | HdfsError::IsADirectoryError(_)
        | HdfsError::TrashNotEnabled
        | HdfsError::UnsupportedErasureCodingPolicy(_)
        | HdfsError::ErasureCodingError(_)
        | HdfsError::UnsupportedFeature(_)
        | HdfsError::InvalidRPCResponse(_)
        | HdfsError::SASLError(_)
        | HdfsError::GSSAPIError(..)
        | HdfsError::NoSASLMechanism
        | HdfsError::XmlParseError(_) => broken(error.to_string()),
    }
}
