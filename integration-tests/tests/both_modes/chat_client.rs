//! `lakechat chat` as a person uses it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use integration_tests::people::PASSWORD;
use integration_tests::terminal::{Piped, Terminal, pipe};
use integration_tests::{Person, Server};
use rustix::process::{Pid, Signal, kill_process};

use crate::MODE;

#[tokio::test]
async fn two_people_register_talk_and_exchange_a_file() {
    let server = Server::start(MODE).await;
    let (ann, bob) = (Terminal::new(&server, "ann"), Terminal::new(&server, "bob"));
    let text = b"the plan\n".repeat(30_000);
    std::fs::write(ann.path("plan.txt"), &text).expect("ours");
    let lines = "hi bob\n/upload plan.txt\n//not a command\n";
    let ended = ann.pipes(&["--register"], lines).await;
    let printed = ended.succeeded();
    assert!(printed.contains(" ann: hi bob"), "{printed}");

    let lines = format!("{PASSWORD}\nhi ann\n");
    let command = bob.without_password(&["--register", "--password-stdin"]);
    let printed = pipe(command, lines).await.succeeded();
    for said in [
        " ann: hi bob",
        " ann: /not a command",
        " ann: [plan.txt, 270000 bytes",
    ] {
        assert!(printed.contains(said), "{said}: {printed}");
    }
    let (_, rest) = printed.split_once("/download ").expect("how to fetch it");
    let lines = format!("/download {}\n", &rest[..36]);
    let command = bob.without_password(&[]);
    pipe(command, lines).await.succeeded();
    let saved = std::fs::read(bob.path("plan.txt"));
    assert_eq!(saved.expect("it is there"), text);
}

#[tokio::test]
async fn login_is_kept_for_the_user_alone() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    ann.pipes(&["--register"], "one\n").await.succeeded();
    pipe(ann.without_password(&[]), "two\n").await.succeeded();
    let folder = ann.path(".local/state/lakechat");
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in folder.read_dir().expect("ours") {
        assert_eq!(mode(&entry.expect("ours").path()), 0o600);
    }
    let elsewhere = Terminal::new(&server, "ann");
    let mut command = elsewhere.without_password(&[]);
    command.env("LAKECHAT_PASSWORD", "wrong horse");
    let (_, stderr) = pipe(command, "").await.failed();
    assert!(stderr.contains("invalid_credentials"), "{stderr}");
}

#[tokio::test]
async fn lines_typed_while_the_server_is_away_arrive_once() {
    let mut server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let mut running = Piped::start(ann.command(&["--register"]));
    running.says("before\n").await;
    running.prints("ann: before").await;
    server.kill_9().await;
    running.prints("trying again").await;
    running.says("meanwhile\n").await;
    server.restart().await;
    running.prints("ann: meanwhile").await;
    running.ended().await.succeeded();
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
    let ann = Terminal::new(&server, "ann");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let register: &[&str] = if signal == Signal::INT {
            &["--register"]
        } else {
            &[]
        };
        let mut running = Piped::start(ann.command(register));
        running.prints("#general").await;
        let id = running.child.id().expect("it runs");
        let pid = Pid::from_raw(id.cast_signed()).expect("a process");
        kill_process(pid, signal).expect("ours");
        running.ended().await.succeeded();
    }
}
