//! `lakechat chat` as a process with a home of its own: in pipes, or on a terminal.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::termios::{LocalModes, Termios, tcgetattr};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::people::PASSWORD;
use crate::{Server, eventually, server, within};

const ROWS: NonZero<u16> = NonZero::new(24).expect("a number");
const COLUMNS: NonZero<u16> = NonZero::new(80).expect("a number");

/// Rows that a screen keeps after they have scrolled away.
const SCROLLBACK: usize = 500;

/// A person's home, from which they chat.
pub struct Terminal {
    home: TempDir,
    user: String,
    url: String,
}

impl Terminal {
    pub fn new(server: &Server, user: &str) -> Terminal {
        Terminal::at(&server.url(), user)
    }

    pub fn at(url: &str, user: &str) -> Terminal {
        Terminal {
            home: tempfile::tempdir().expect("a temporary folder"),
            user: user.to_owned(),
            url: url.to_owned(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The command, with the password in its environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.without_password(args);
        command.env("LAKECHAT_PASSWORD", PASSWORD);
        command
    }

    pub fn without_password(&self, args: &[&str]) -> Command {
        self.client("chat", args)
    }

    /// Another command than `chat`, with the password in its environment.
    pub fn subcommand(&self, name: &str, args: &[&str]) -> Command {
        let mut command = self.client(name, args);
        command.env("LAKECHAT_PASSWORD", PASSWORD);
        command
    }

    fn client(&self, name: &str, args: &[&str]) -> Command {
        let mut command = server::command(&[name, "--url", &self.url, "--user", &self.user]);
        command
            .args(args)
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env_remove("XDG_STATE_HOME");
        command
    }

    /// Sends an input through a pipe and waits for the end.
    pub async fn pipes(&self, args: &[&str], input: impl AsRef<[u8]>) -> Ended {
        pipe(self.command(args), input).await
    }
}

/// Runs a command on an input.
pub async fn pipe(command: Command, input: impl AsRef<[u8]>) -> Ended {
    let mut running = Piped::start(command);
    running.says(input).await;
    running.ended().await
}

/// A client that runs in pipes.
pub struct Piped {
    pub child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    printed: String,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Piped {
    pub fn start(mut command: Command) -> Piped {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Piped {
            child,
            input,
            output,
            printed: String::new(),
        }
    }

    /// Writes to its input. It may have ended, and not read all of it.
    pub async fn says(&mut self, input: impl AsRef<[u8]>) {
        let _ = self.input.write_all(input.as_ref()).await;
    }

    /// Waits until it has printed a line with some words in it.
    pub async fn prints(&mut self, words: &str) {
        loop {
            let line = within(self.output.next_line()).await.expect("UTF-8");
            let line =
                line.unwrap_or_else(|| panic!("it ended before {words:?}: {}", self.printed));
            self.printed.push_str(&line);
            self.printed.push('\n');
            if line.contains(words) {
                return;
            }
        }
    }

    /// Ends its input and waits for its end.
    pub async fn ended(self) -> Ended {
        drop(self.input);
        let (mut output, mut stdout) = (self.output, self.printed);
        while let Some(line) = within(output.next_line()).await.expect("UTF-8") {
            stdout.push_str(&line);
            stdout.push('\n');
        }
        let output = within(self.child.wait_with_output()).await;
        let output = output.expect("a child of ours");
        Ended {
            status: output.status,
            stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.stdout
    }

    /// What it printed, and its error.
    #[track_caller]
    pub fn failed(self) -> (String, String) {
        assert_eq!(self.status.code(), Some(1), "{self:?}");
        (self.stdout, self.stderr)
    }
}

/// A client on a terminal of 24 rows and 80 columns.
pub struct OnScreen {
    child: Child,
    pty: pty_process::Pty,
    screen: vt100::Parser,
}

impl OnScreen {
    pub fn start(terminal: &Terminal, args: &[&str], env: &[(&str, &str)]) -> OnScreen {
        OnScreen::start_with(terminal, args, env, |command| command)
    }

    /// `adjust` may send an output elsewhere.
    pub fn start_with(
        terminal: &Terminal,
        args: &[&str],
        env: &[(&str, &str)],
        adjust: impl FnOnce(pty_process::Command) -> pty_process::Command,
    ) -> OnScreen {
        let (pty, pts) = pty_process::open().expect("a terminal");
        let size = pty_process::Size::new(ROWS.get(), COLUMNS.get());
        pty.resize(size).expect("a terminal has a size");
        let command = pty_process::Command::new(server::binary())
            .args(["chat", "--url", &terminal.url, "--user", &terminal.user])
            .args(args)
            .current_dir(terminal.home())
            .env("HOME", terminal.home())
            .env("TERM", "xterm")
            .env_remove("XDG_STATE_HOME")
            .env_remove("LAKECHAT_PASSWORD")
            .env_remove("LAKECHAT_PASSWORD_FILE")
            .envs(env.iter().copied())
            .kill_on_drop(true);
        let child = adjust(command).spawn(pts).expect("the binary runs");
        OnScreen {
            child,
            pty,
            screen: vt100::Parser::new(ROWS, COLUMNS, SCROLLBACK),
        }
    }

    pub async fn types(&mut self, keys: impl AsRef<[u8]>) {
        within(self.pty.write_all(keys.as_ref()))
            .await
            .expect("it has a terminal");
    }

    /// Waits until the screen or what has scrolled away shows some words.
    pub async fn shows(&mut self, words: &str) {
        while !self.rows().iter().any(|row| row.contains(words)) {
            if !self.read().await {
                panic!("it ended before {words:?}:\n{}", self.rows().join("\n"));
            }
        }
    }

    /// Reads some output. False at its end.
    async fn read(&mut self) -> bool {
        let mut output = [0; 4096];
        match within(self.pty.read(&mut output)).await {
            // Linux reports the end of the other side as an error.
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.screen.process(&output[..n]);
                true
            }
        }
    }

    /// All rows, from the oldest that is kept to the last of the screen.
    pub fn rows(&mut self) -> Vec<String> {
        let screen = self.screen.screen_mut();
        screen.set_scrollback(usize::MAX);
        let scrolled = screen.scrollback();
        let mut rows = Vec::new();
        for back in (1..=scrolled).rev() {
            screen.set_scrollback(back);
            rows.extend(screen.rows(0, COLUMNS.get()).next());
        }
        screen.set_scrollback(0);
        rows.extend(screen.rows(0, COLUMNS.get()));
        rows
    }

    /// The mode of the terminal.
    pub fn mode(&self) -> Termios {
        tcgetattr(&self.pty).expect("a terminal has a mode")
    }

    /// Waits until the terminal is in the mode in which the client reads keys.
    pub async fn reads_keys(&mut self) {
        eventually("it reads keys", async || {
            let mode = tcgetattr(&self.pty).ok()?;
            (!mode.local_modes.contains(LocalModes::ICANON)).then_some(())
        })
        .await;
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        while self.read().await {}
        within(self.child.wait()).await.expect("a child of ours")
    }
}
