//! A Redis of a test's own, that can be stopped, killed and asked by `redis-cli`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lakechat_cluster::owner::{Installation, Place};
use lakechat_cluster::redis::{OwnerKey, RedisPresence, RedisSettings};
use lakechat_core::ports::Presence;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::certificate::make_certificate;
use crate::contract::place::{PlaceBackend, installation};
use crate::contract::presence::{PRESENCE_DEADLINE, PresenceStore};
use crate::contract::{eventually, random};

/// The prefix under which tests keep their keys.
pub const PREFIX: &str = "test:";

/// The key that names the installation.
pub const OWNER_KEY: &str = "test:installation";

/// A `redis-server` on a free port, without a disk. Dropping it kills it.
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    password: Option<String>,
    /// It speaks nothing but TLS.
    has_tls: bool,
    folder: TempDir,
    /// The installation of the servers that use it.
    pub ours: Installation,
}

/// A Redis that answers.
pub async fn fresh() -> Result<RedisServer> {
    let mut redis = RedisServer::absent()?;
    redis.start().await?;
    Ok(redis)
}

impl RedisServer {
    /// One that does not run yet.
    pub fn absent() -> Result<RedisServer> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(RedisServer {
            child: None,
            port,
            password: None,
            has_tls: false,
            folder: tempfile::tempdir()?,
            ours: installation(),
        })
    }

    /// One that wants a random password.
    pub fn locked(mut self) -> RedisServer {
        self.password = Some(random());
        self
    }

    /// One that speaks nothing but TLS, under a certificate of its own.
    pub async fn over_tls(mut self) -> Result<RedisServer> {
        make_certificate(self.folder.path()).await?;
        self.has_tls = true;
        Ok(self)
    }

    pub fn url(&self) -> String {
        let scheme = if self.has_tls { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The file with the certificate of one with TLS.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// Returns when it answers.
    pub async fn start(&mut self) -> Result<()> {
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        if self.has_tls {
            let folder = self.folder.path();
            command.args([
                "--port",
                "0",
                "--tls-port",
                &port,
                "--tls-auth-clients",
                "no",
            ]);
            command.arg("--tls-cert-file").arg(folder.join("cert.pem"));
            command.arg("--tls-key-file").arg(folder.join("key.pem"));
        } else {
            command.args(["--port", &port]);
        }
        command
            .args(["--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
        }
        self.child = Some(command.spawn().context("redis-server is not installed")?);
        let answers = async || Ok(self.cli(&["PING"]).await.is_ok_and(|a| a == "PONG"));
        eventually("redis-server answers", answers).await
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.as_ref().and_then(Child::id).context("it runs")?;
        let pid = Pid::from_raw(id.cast_signed()).context("a process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// SIGKILL, and waits until the process is gone.
    pub async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it runs")?;
        Ok(child.kill().await?)
    }

    /// What `redis-cli` prints.
    pub async fn cli(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if self.has_tls {
            command.arg("--tls").arg("--cacert").arg(self.certificate());
        }
        if let Some(password) = &self.password {
            command.env("REDISCLI_AUTH", password);
        }
        let output = command.arg("-e").args(args).kill_on_drop(true).output();
        let output = output.await.context("redis-cli is not installed")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "redis-cli {args:?}: {errors}");
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// All keys, sorted, except the one that names the installation.
    pub async fn keys(&self) -> Result<Vec<String>> {
        let keys = self.cli(&["KEYS", "*"]).await?;
        let keys = keys.lines().filter(|key| *key != OWNER_KEY);
        let mut keys: Vec<_> = keys.map(str::to_owned).collect();
        keys.sort();
        Ok(keys)
    }

    pub fn settings(&self, server: &str) -> RedisSettings {
        RedisSettings {
            url: self.url(),
            prefix: PREFIX.to_owned(),
            server_id: server.to_owned(),
            deadline: PRESENCE_DEADLINE,
        }
    }

    /// A server whose sessions are not shown for long, nor soon forgotten.
    pub fn with_deadline(&self, server: &str, deadline: Duration) -> RedisSettings {
        RedisSettings {
            deadline,
            ..self.settings(server)
        }
    }
}

impl PresenceStore for RedisServer {
    fn presence(&self, server: &str) -> Result<Arc<dyn Presence>> {
        let presence = RedisPresence::new(&self.settings(server), self.ours.clone())?;
        Ok(Arc::new(presence))
    }
}

impl PlaceBackend for RedisServer {
    fn place(&self) -> Result<impl Place + 'static> {
        Ok(OwnerKey::new(&self.settings("any"))?)
    }
}
