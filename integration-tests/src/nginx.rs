//! nginx with the configuration in `docker/nginx`, in front of some servers.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::certificate::{docker_nginx, make_certificate};
use crate::eventually;

/// How requests are spread, by the name of the file in `docker/nginx`.
#[derive(Clone, Copy, Debug)]
pub enum Balance {
    Sticky,
    Random,
}

impl Balance {
    fn file(self) -> PathBuf {
        docker_nginx().join(match self {
            Balance::Sticky => "sticky.conf",
            Balance::Random => "random.conf",
        })
    }
}

/// Dropping it kills it.
pub struct Nginx {
    child: Child,
    folder: TempDir,
    plain: SocketAddr,
    tls: SocketAddr,
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Nginx {
    /// Starts it and waits until it listens: with TLS as in `docker/nginx/nginx.conf`, and without for
    /// clients that have none.
    pub async fn start(balance: Balance, servers: &[SocketAddr]) -> Result<Nginx> {
        let folder = tempfile::tempdir()?;
        make_certificate(folder.path()).await?;
        let (plain, tls) = (free_address()?, free_address()?);
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration(balance, servers, plain, tls))?;
        let tested = nginx(folder.path()).arg("-t").output().await;
        let tested = tested.context("nginx is not installed")?;
        let errors = String::from_utf8_lossy(&tested.stderr);
        ensure!(tested.status.success(), "nginx -t: {errors}");
        let child = run(folder.path(), tls).await?;
        Ok(Nginx {
            child,
            folder,
            plain,
            tls,
        })
    }

    /// SIGKILL, which cuts all connections at once, and a new one.
    pub async fn restart(&mut self) -> Result<()> {
        self.child.kill().await?;
        self.child = run(self.folder.path(), self.tls).await?;
        Ok(())
    }

    /// Where it speaks HTTP without TLS.
    pub fn plain(&self) -> SocketAddr {
        self.plain
    }

    pub fn https_url(&self) -> String {
        format!("https://localhost:{}", self.tls.port())
    }

    /// The file with its certificate, which no authority has signed.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// What `curl` prints, given a path below the HTTPS URL.
    pub async fn curl(&self, args: &[&str], path: &str) -> Result<String> {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--cacert"])
            .arg(self.certificate())
            .args(args)
            .arg(format!("{}{path}", self.https_url()))
            .kill_on_drop(true)
            .output()
            .await
            .context("curl is not installed")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "curl {args:?} {path}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Returns when it listens.
async fn run(folder: &Path, tls: SocketAddr) -> Result<Child> {
    let child = nginx(folder)
        .args(["-g", "daemon off; master_process off;"])
        .spawn()?;
    eventually("nginx listens", async || {
        tokio::net::TcpStream::connect(tls).await.ok()
    })
    .await;
    Ok(child)
}

fn nginx(folder: &Path) -> Command {
    let mut command = Command::new("nginx");
    // Debian has it where only root looks.
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{path}:/usr/sbin"))
        .arg("-p")
        .arg(folder)
        .args(["-c", "nginx.conf", "-e", "error.log"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What `docker/nginx/nginx.conf` is for the container.
fn configuration(
    balance: Balance,
    servers: &[SocketAddr],
    plain: SocketAddr,
    tls: SocketAddr,
) -> String {
    let servers: String = servers
        .iter()
        .map(|s| format!("server {s} fail_timeout=2s; "))
        .collect();
    let parts = docker_nginx();
    let parts = parts.display();
    let balance = balance.file();
    let balance = balance.display();
    format!(
        "pid nginx.pid;
        error_log error.log notice;
        events {{ worker_connections 12000; }}
        http {{
          access_log off;
          client_body_temp_path body;
          proxy_temp_path proxy;
          fastcgi_temp_path fastcgi;
          uwsgi_temp_path uwsgi;
          scgi_temp_path scgi;
          include {parts}/http.conf;
          upstream lakechat {{ include {balance}; {servers} }}
          server {{
            listen {plain};
            listen {tls} ssl http2;
            ssl_certificate cert.pem;
            ssl_certificate_key key.pem;
            include {parts}/locations.conf;
          }}
        }}"
    )
}
