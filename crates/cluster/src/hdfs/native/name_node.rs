//! Calls to the NameNode: each has a deadline, and its name in the metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdfs_native::client::{FileStatus, IORuntime};
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};
use metrics::{counter, histogram};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::warn;

use crate::hdfs::exceptions::{broken, from_exception, is_missing, unavailable};
use crate::hdfs::{HadoopConf, HdfsSettings};
use lakechat_core::ports::PortError;

/// Only lakechat's user may read: private files are among them.
pub(super) const FOLDER_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;

/// The NameNode, or those of a name service (HA).
pub(super) struct NameNode {
    settings: HdfsSettings,
    conf: HadoopConf,
    runtime: Handle,
    current: Mutex<Current>,
}

struct Current {
    client: Client,
    since: Instant,
}

impl NameNode {
    /// Does not connect.
    pub fn new(settings: &HdfsSettings, conf: HadoopConf) -> Result<NameNode, HdfsError> {
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

    pub fn settings(&self) -> &HdfsSettings {
        &self.settings
    }

    /// Awaits a call for as long as the settings allow. After a time-out, as after dropping the future,
    /// it is unknown whether a change was made.
    pub async fn call<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = hdfs_native::Result<T>> + Send,
    ) -> Result<T, PortError> {
        let begun = Instant::now();
        let answer = timeout(self.settings.call_timeout, call).await;
        histogram!("lakechat_hdfs_call_seconds", "call" => name).record(begun.elapsed());
        match answer {
            Ok(answer) => self.outcome(name, answer),
            Err(_) => {
                self.replace_client();
                counter!("lakechat_hdfs_call_failures_total", "call" => name).increment(1);
                Err(self.timed_out(name))
            }
        }
    }

    /// The port's outcome for an answer that is there.
    pub fn outcome<T>(
        &self,
        name: &'static str,
        answer: hdfs_native::Result<T>,
    ) -> Result<T, PortError> {
        answer.map_err(|error| {
            counter!("lakechat_hdfs_call_failures_total", "call" => name).increment(1);
            port_error(error, &self.settings.url)
        })
    }

    fn timed_out(&self, name: &str) -> PortError {
        let HdfsSettings {
            url, call_timeout, ..
        } = &self.settings;
        let seconds = call_timeout.as_secs_f32();
        unavailable(format!("{url} did not answer {name} within {seconds} s"))
    }

    /// The library would wait on a connection to a host that is gone until the kernel gives it up, after
    /// a quarter of an hour. Files that are being written keep the client that they began with.
    fn replace_client(&self) {
        let mut current = self.current();
        // Many calls time out at once, and one new client is enough for them.
        if current.since.elapsed() < 2 * self.settings.call_timeout {
            return;
        }
        match build(&self.settings, &self.conf, &self.runtime) {
            Ok(client) => current.client = client,
            Err(error) => warn!(%error, "can't replace the client of HDFS; keeping the old one"),
        }
        current.since = Instant::now();
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn stat(&self, path: &str) -> Result<Option<FileStatus>, PortError> {
        let client = self.client();
        let status = async { existing(client.get_file_info(path).await) };
        self.call("stat", status).await
    }

    pub async fn delete(&self, path: &str, recursive: bool) -> Result<bool, PortError> {
        let client = self.client();
        let deleted = async { Ok(existing(client.delete(path, recursive).await)? == Some(true)) };
        self.call("delete", deleted).await
    }

    /// Makes a file and opens it for writing, with a number of replicas other than the settings' one if
    /// given.
    pub async fn create(&self, path: &str, replicas: Option<u32>) -> Result<FileWriter, PortError> {
        let client = self.client();
        let options = WriteOptions {
            replication: replicas.or(self.settings.replication),
            permission: FILE_MODE,
            ..WriteOptions::default()
        };
        self.call("create", client.create(path, options)).await
    }

    pub async fn set_replicas(&self, path: &str, replicas: u32) -> Result<(), PortError> {
        let client = self.client();
        let set = client.set_replication(path, replicas);
        self.call("set_replication", set).await.map(drop)
    }
}

fn build(
    settings: &HdfsSettings,
    conf: &HadoopConf,
    runtime: &Handle,
) -> Result<Client, HdfsError> {
    let mut builder = ClientBuilder::new()
        .with_url(&settings.url)
        .with_io_runtime(IORuntime::from(runtime.clone()))
        .with_config(tuning(settings));
    if let Some(folder) = &conf.folder {
        builder = builder.with_config_dir(folder.to_string_lossy());
    }
    // With Kerberos, a user name beside the ticket's would ask to impersonate somebody.
    if !conf.is_secure {
        builder = builder.with_user(&settings.user);
    }
    builder.build()
}

/// The library's options. A NameNode that refuses connections is retried for some seconds; those of a name
/// service for as long as a failover between them may take.
fn tuning(settings: &HdfsSettings) -> [(&'static str, String); 5] {
    let attempts = if settings.is_service() { 8 } else { 3 };
    let millis = |time: Duration| time.as_millis().to_string();
    [
        (
            "dfs.client.socket-timeout",
            millis(settings.data_node_timeout),
        ),
        ("dfs.client.failover.max.attempts", attempts.to_string()),
        ("dfs.client.failover.sleep.base.millis", "250".to_owned()),
        ("dfs.client.failover.sleep.max.millis", "4000".to_owned()),
        // A replaced client must not begin with the same dead NameNode each time.
        ("dfs.client.failover.random.order", "true".to_owned()),
    ]
}

/// `None` if the answer is that the file or folder does not exist.
pub(super) fn existing<T>(answer: hdfs_native::Result<T>) -> hdfs_native::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(HdfsError::FileNotFound(_)) => Ok(None),
        Err(HdfsError::RPCError(class, _)) if is_missing(&class) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A connection failed. The text includes that of the error, so it isn't the source, too.
#[derive(Debug, thiserror::Error)]
#[error("{whom} can't be reached; is a NameNode of HDFS there? ({error})")]
struct Unreachable {
    whom: String,
    error: std::io::Error,
}

/// The port's error for one of the library, in a call to `whom`.
pub(super) fn port_error(error: HdfsError, whom: &str) -> PortError {
    match error {
        HdfsError::RPCError(class, text) | HdfsError::FatalRPCError(class, text) => {
            from_exception(&class, &text)
        }
        HdfsError::IOError(error) => unavailable(Unreachable {
            whom: whom.to_owned(),
            error,
        }),
        HdfsError::DataTransferError(reason) => {
            // Cut off: a dump of everything that is known of each node.
            let reason = reason.split(": [").next().unwrap_or_default();
            unavailable(format!("a DataNode failed, and no other helped: {reason}"))
        }
        HdfsError::OperationFailed(_) | HdfsError::InternalError(_) => unavailable(error),
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
        | HdfsError::XmlParseError(_) => broken(error),
    }
}
