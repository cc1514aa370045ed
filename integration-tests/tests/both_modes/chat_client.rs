//! `lakechat chat` as a person uses it, through its pipes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use integration_tests::people::PASSWORD;
use integration_tests::{Person, Server, eventually, server, within};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::MODE;

/// A terminal with a home of its own.
struct Terminal {
    home: TempDir,
    user: &'static str,
}

struct Running {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    fn of(user: &'static str) -> Terminal {
        let home = tempfile::tempdir().expect("a temporary folder");
        Terminal { home, user }
    }

    fn start(&self, server: &Server, args: &[&str], password: Option<&str>) -> Running {
        let url = server.url();
        let mut command = server::command(&["chat", "--url", &url, "--user", self.user]);
        command.args(args).current_dir(self.home.path());
        command
            .env("HOME", self.home.path())
            .env_remove("XDG_STATE_HOME");
        if let Some(password) = password {
            command.env("LAKECHAT_PASSWORD", password);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Running {
            child,
            input,
            output,
        }
    }

    /// Types some lines and waits for the end; what was printed.
    async fn types(
        &self,
        server: &Server,
        args: &[&str],
        password: Option<&str>,
        lines: &str,
    ) -> (String, Output) {
        let mut running = self.start(server, args, password);
        running
            .input
            .write_all(lines.as_bytes())
            .await
            .expect("it reads");
        drop(running.input);
        let mut printed = String::new();
        while let Some(line) = within(running.output.next_line()).await.expect("text") {
            printed.push_str(&line);
            printed.push('\n');
        }
        let output = within(running.child.wait_with_output())
            .await
            .expect("it ends");
        (printed, output)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }
}

fn succeeded(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

#[tokio::test]
async fn two_people_register_talk_and_exchange_a_file() {
    let server = Server::start(MODE).await;
    let (ann, bob) = (Terminal::of("ann"), Terminal::of("bob"));
    let text = b"the plan\n".repeat(30_000);
    std::fs::write(ann.path("plan.txt"), &text).expect("ours");
    let lines = "hi bob\n/upload plan.txt\n//not a command\n";
    let (printed, output) = ann
        .types(&server, &["--register"], Some(PASSWORD), lines)
        .await;
    succeeded(&output);
    assert!(printed.contains(" ann: hi bob"), "{printed}");

    // The password is the first line where there is no variable.
    let lines = format!("{PASSWORD}\nhi ann\n");
    let (printed, output) = bob.types(&server, &["--register"], None, &lines).await;
    succeeded(&output);
    for said in [
        " ann: hi bob",
        " ann: /not a command",
        " ann: [plan.txt, 270000 bytes",
    ] {
        assert!(printed.contains(said), "{said}: {printed}");
    }
    let (_, rest) = printed.split_once("/download ").expect("how to fetch it");
    let id = &rest[..36];
    let (_, output) = bob
        .types(&server, &[], None, &format!("/download {id}\n"))
        .await;
    succeeded(&output);
    assert_eq!(
        std::fs::read(bob.path("plan.txt")).expect("it is there"),
        text
    );
}

#[tokio::test]
async fn login_is_kept_for_the_user_alone() {
    let server = Server::start(MODE).await;
    let ann = Terminal::of("ann");
    let (_, output) = ann
        .types(&server, &["--register"], Some(PASSWORD), "one\n")
        .await;
    succeeded(&output);
    let (_, output) = ann.types(&server, &[], None, "two\n").await;
    succeeded(&output);
    let folder = ann.path(".local/state/lakechat");
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in folder.read_dir().expect("ours") {
        assert_eq!(mode(&entry.expect("ours").path()), 0o600);
    }
    let (_, output) = Terminal::of("ann")
        .types(&server, &[], Some("wrong horse"), "")
        .await;
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("invalid_credentials"), "{stderr}");
}

#[tokio::test]
async fn lines_typed_while_the_server_is_away_arrive_once() {
    let mut server = Server::start(MODE).await;
    let ann = Terminal::of("ann");
    let mut running = ann.start(&server, &["--register"], Some(PASSWORD));
    running
        .input
        .write_all(b"before\n")
        .await
        .expect("it reads");
    let until = async |running: &mut Running, wanted: &str| loop {
        let line = within(running.output.next_line()).await.expect("text");
        if line.expect("it goes on").contains(wanted) {
            break;
        }
    };
    until(&mut running, "ann: before").await;
    server.kill_9().await;
    until(&mut running, "trying again").await;
    running
        .input
        .write_all(b"meanwhile\n")
        .await
        .expect("it reads");
    server.restart().await;
    until(&mut running, "ann: meanwhile").await;
    running.input.write_all(b"/quit\n").await.expect("it reads");
    succeeded(
        &within(running.child.wait_with_output())
            .await
            .expect("it ends"),
    );
    let bob = Person::register(&server, "bob").await;
    let history = bob.history(&server, "general").await;
    let texts: Vec<_> = history
        .iter()
        .map(|m| m["text"].as_str().expect("a text"))
        .collect();
    assert_eq!(texts, ["before", "meanwhile"]);
}

#[tokio::test]
async fn interrupt_ends_it_cleanly() {
    let server = Server::start(MODE).await;
    let ann = Terminal::of("ann");
    let mut running = ann.start(&server, &["--register"], Some(PASSWORD));
    let line = within(running.output.next_line()).await.expect("text");
    assert!(line.expect("it joins").contains("#general"));
    let id = running.child.id().expect("it runs");
    let pid = rustix::process::Pid::from_raw(id as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("ours");
    succeeded(
        &within(running.child.wait_with_output())
            .await
            .expect("it ends"),
    );
    eventually("the server has seen it go", async || {
        let metrics = server.http().get("/healthz", "").await;
        (metrics.status.as_u16() == 200).then_some(())
    })
    .await;
}
