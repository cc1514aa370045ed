//! The release binary as a process of its own, on a port and a data folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::cluster::Cluster;
use crate::people::PASSWORD;
use crate::{Http, eventually, within};

/// Off, so that tests reach only the limits that they are about.
const NO_LIMITS: [(&str, &str); 8] = [
    ("LAKECHAT_LIMITS__SENDS_PER_USER", "0"),
    ("LAKECHAT_LIMITS__SENDS_PER_CHANNEL", "0"),
    ("LAKECHAT_LIMITS__REQUESTS_PER_USER", "0"),
    ("LAKECHAT_LIMITS__TRANSFERS_PER_USER", "0"),
    ("LAKECHAT_LIMITS__CONNECTS_PER_ADDRESS", "0"),
    ("LAKECHAT_LIMITS__LOGINS_PER_ADDRESS", "0"),
    ("LAKECHAT_LIMITS__CONNECTIONS_PER_USER", "0"),
    ("LAKECHAT_LIMITS__CONNECTIONS_PER_ADDRESS", "0"),
];

/// Lines of the log shown when a test fails.
const SHOWN_LINES: usize = 200;

/// What a server has written to standard error.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    /// Nobody reads any further.
    is_stalled: Arc<AtomicBool>,
}

impl Log {
    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic while held").clone()
    }

    fn push(&self, line: String) {
        let mut lines = self.lines.lock().expect("no panic while held");
        lines.push(line);
    }
}

/// What a server stands on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// A folder of its own.
    Embedded,
    /// The services, in which it has topics, tables, a folder and keys of its own.
    Cluster,
}

/// A running server. Dropping it kills it; in a failing test it shows its log first.
pub struct Server {
    child: Child,
    address: SocketAddr,
    env: Vec<(String, String)>,
    data: TempDir,
    log: Log,
    http: Http,
    /// Behind the process, which has to be gone first.
    cluster: Option<Arc<Cluster>>,
}

/// The binary under test: `TEST_LAKECHAT_BIN`, else the release build beside this test's own.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TEST_LAKECHAT_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test has an executable");
    // <target>/<profile>/deps/<test>
    let target = test.ancestors().nth(3).expect("cargo's layout");
    target.join("release/lakechat")
}

/// The binary with nothing of this test's own environment that would configure it.
pub fn command(args: &[&str]) -> Command {
    let path = binary();
    assert!(
        path.exists(),
        "{} is not built: cargo build --release, or set TEST_LAKECHAT_BIN",
        path.display()
    );
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LAKECHAT_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").args(args).kill_on_drop(true);
    command
}

impl Server {
    /// A server with every limit off.
    pub async fn start(mode: Mode) -> Server {
        Server::with(mode, &[]).await
    }

    /// One with some settings, by the names that they have in the environment.
    pub async fn with(mode: Mode, env: &[(&str, &str)]) -> Server {
        let server = Server::starting(mode, env).await;
        server.ready().await;
        server
    }

    /// One that listens and may not be ready yet.
    pub async fn starting(mode: Mode, env: &[(&str, &str)]) -> Server {
        let cluster = match mode {
            Mode::Embedded => None,
            Mode::Cluster => Some(Cluster::fresh().await.expect("a part of the services")),
        };
        Server::launch(cluster, env).await
    }

    /// One of a cluster's servers.
    pub async fn of(cluster: &Arc<Cluster>, env: &[(&str, &str)]) -> Server {
        let server = Server::launch(Some(cluster.clone()), env).await;
        server.ready().await;
        server
    }

    /// One of a cluster's servers that listens and may not be ready yet.
    pub async fn starting_of(cluster: &Arc<Cluster>, env: &[(&str, &str)]) -> Server {
        Server::launch(Some(cluster.clone()), env).await
    }

    async fn launch(cluster: Option<Arc<Cluster>>, env: &[(&str, &str)]) -> Server {
        let data = tempfile::tempdir().expect("a temporary folder");
        let given = NO_LIMITS.iter().chain(env);
        let given = given.map(|(name, value)| (name.to_string(), value.to_string()));
        let shared = cluster.iter().flat_map(|cluster| cluster.env());
        let env: Vec<_> = shared.chain(given).collect();
        let log = Log::default();
        let (child, address) = spawn("127.0.0.1:0", data.path(), &env, &log).await;
        Server {
            child,
            address,
            env,
            data,
            log,
            http: Http::new(address),
            cluster,
        }
    }

    /// Waits until it says that it can do its work.
    pub async fn ready(&self) {
        eventually("it is ready", async || {
            let asked = self.http.request(Method::GET, "/readyz").send().await;
            asked.is_ok_and(|a| a.status().is_success()).then_some(())
        })
        .await;
    }

    /// Waits until a part has the state; tells what `/readyz` says of it, and whether the server is
    /// ready.
    pub async fn part_is(&self, part: &str, state: &str) -> (Value, bool) {
        eventually(&format!("{part} is {state}"), async || {
            let report = self.report().await?;
            let condition = report["parts"][part].clone();
            let ready = report["ready"] == true;
            (condition["state"] == state).then_some((condition, ready))
        })
        .await
    }

    /// What `/readyz` says, if it can be asked.
    async fn report(&self) -> Option<Value> {
        let asked = self.http.request(Method::GET, "/readyz").send().await;
        asked.ok()?.json().await.ok()
    }

    /// Waits until the reason that `/readyz` gives for a part has some words in it; the reason.
    pub async fn part_says(&self, part: &str, words: &str) -> String {
        eventually(&format!("{part} says {words}"), async || {
            let report = self.report().await?;
            let reason = report["parts"][part]["reason"].as_str().map(str::to_owned);
            reason.filter(|reason| reason.contains(words))
        })
        .await
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn http(&self) -> &Http {
        &self.http
    }

    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// The SQLite file with log, history and directory.
    pub fn database(&self) -> PathBuf {
        self.data.path().join("lakechat.db")
    }

    /// All uploads in the data folder, half ones included.
    pub fn stored_files(&self) -> Vec<PathBuf> {
        [self.files_in("files"), self.files_in("tmp")].concat()
    }

    /// Everything in one of the data folder's folders: `files` has whole uploads, `tmp` half ones.
    pub fn files_in(&self, folder: &str) -> Vec<PathBuf> {
        if let Some(cluster) = &self.cluster {
            return cluster.files_in(folder).expect("FsShell lists them");
        }
        let mut found = Vec::new();
        let mut folders = vec![self.data_dir().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.expect("a readable folder").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found
    }

    /// SIGKILL, and waits until the process is gone.
    pub async fn kill_9(&mut self) {
        self.signal(Signal::KILL);
        within(self.child.wait()).await.expect("a child of ours");
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    pub async fn ended(&mut self) -> ExitStatus {
        within(self.child.wait()).await.expect("a child of ours")
    }

    /// Starts it again, on the same folder and port.
    pub async fn restart(&mut self) {
        self.start_again().await;
        self.ready().await;
    }

    /// The same without waiting until it is ready.
    pub async fn start_again(&mut self) {
        let listen = self.address.to_string();
        let (child, address) = spawn(&listen, self.data.path(), &self.env, &self.log).await;
        assert_eq!(address, self.address);
        self.child = child;
    }

    /// Runs a second server on the same folder; it must end by itself.
    pub async fn rival(&self) -> (ExitStatus, String) {
        let output = serve("127.0.0.1:0", self.data.path(), &self.env).output();
        let output = within(output).await.expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status, stderr)
    }

    /// Runs one of lakechat's commands on the same back ends; it must end by itself. `env` comes on top.
    pub async fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let mut command = command(args);
        let given = self.env.iter().map(|(name, value)| (name, value));
        command
            .envs(given)
            .envs(env.iter().copied())
            .env("LAKECHAT_DATA_DIR", self.data.path())
            .stdin(Stdio::null());
        within(command.output()).await.expect("it runs")
    }

    /// Creates an admin by the command for it, with the password of all people. A server on a folder is
    /// stopped meanwhile.
    pub async fn create_admin(&mut self, name: &str) {
        if self.cluster.is_none() {
            self.stop().await;
        }
        let create = ["admin", "create", name];
        let created = self.command(&create, &[("LAKECHAT_PASSWORD", PASSWORD)]);
        let created = created.await;
        assert!(created.status.success(), "{created:?}");
        if self.cluster.is_none() {
            self.restart().await;
        }
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("a child of ours can be signalled");
    }

    /// Makes it stand still. A signal is on its way for a moment, in which the server still reads.
    pub async fn pause(&self) {
        self.signal(Signal::STOP);
        eventually("all its threads stand still", async || {
            self.threads_are_stopped().then_some(())
        })
        .await;
    }

    fn threads_are_stopped(&self) -> bool {
        let id = self.id();
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).expect("it lives");
        // Threads that ended meanwhile have no state.
        threads
            .flatten()
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok())
            .all(|stat| {
                let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
                state.is_some_and(|state| state.starts_with('T'))
            })
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let id = self.id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it lives");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.trim().strip_suffix(" kB"));
        kib.and_then(|l| l.trim().parse().ok())
            .expect("VmRSS in kB")
    }

    /// What it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Stops reading its log, as a stalled log driver does, after at most one more line.
    pub fn stall_log(&self) {
        self.log.is_stalled.store(true, Ordering::SeqCst);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut log = self.log();
        // Asked fifty times a second by those who wait.
        log.retain(|line| !line.contains("GET /readyz"));
        let from = log.len().saturating_sub(SHOWN_LINES);
        eprintln!(
            "--- the server's log, {} of {} lines:",
            log.len() - from,
            log.len()
        );
        log[from..].iter().for_each(|line| eprintln!("{line}"));
        eprintln!("---");
    }
}

fn serve(listen: &str, data: &Path, env: &[(String, String)]) -> Command {
    let mut command = command(&["serve", "--listen", listen, "--data-dir"]);
    command
        .arg(data)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Starts a server and waits until it listens.
async fn spawn(
    listen: &str,
    data: &Path,
    env: &[(String, String)],
    log: &Log,
) -> (Child, SocketAddr) {
    let mut child = serve(listen, data, env).spawn().expect("the binary runs");
    let stderr = child.stderr.take().expect("it is piped");
    // Full: the reader of the log waits; only the first address is ever taken.
    let (told, mut heard) = mpsc::channel(1);
    tokio::spawn(read_log(stderr, log.clone(), told));
    match within(heard.recv()).await {
        Some(address) => (child, address),
        None => {
            let log = log.lines().join("\n");
            panic!("the server ended before it listened:\n{log}");
        }
    }
}

async fn read_log(stderr: impl AsyncRead + Unpin, log: Log, told: mpsc::Sender<SocketAddr>) {
    let mut lines = BufReader::new(stderr).lines();
    let mut told = Some(told);
    while let Ok(Some(line)) = lines.next_line().await {
        let address = listening_address(&line);
        log.push(line);
        if let Some(address) = address
            && let Some(told) = told.take()
        {
            // A test that has given up doesn't listen.
            let _ = told.send(address).await;
        }
        if log.is_stalled.load(Ordering::SeqCst) {
            // The pipe stays open.
            std::future::pending::<()>().await;
        }
    }
}

/// The address in a line such as `… listening address=127.0.0.1:8080`, coloured or JSON too.
fn listening_address(line: &str) -> Option<SocketAddr> {
    if !line.contains("listening") {
        return None;
    }
    let (_, after) = line.split_once("address")?;
    let text = after.find("127.0.0.1:").map(|at| &after[at..])?;
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
    text[..end.unwrap_or(text.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_found_however_the_line_is_formatted() {
        for line in [
            "2026-11-23T10:00:00Z  INFO lakechat: listening address=127.0.0.1:8080 mode=embedded",
            "\u{1b}[3maddress\u{1b}[0m\u{1b}[2m=\u{1b}[0m127.0.0.1:8080 listening",
            r#"{"fields":{"message":"listening","address":"127.0.0.1:8080"}}"#,
        ] {
            let address = listening_address(line).expect(line);
            assert_eq!(address.port(), 8080);
        }
        assert_eq!(listening_address("started address=127.0.0.1:1"), None);
    }
}
