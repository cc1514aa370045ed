//! Uploads and downloads of the terminal client.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use integration_tests::terminal::{Piped, Terminal};
use integration_tests::{Person, Server, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::MODE;

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = folder.read_dir().expect("a folder");
    let names = entries.map(|entry| entry.expect("readable").file_name());
    names
        .map(|name| name.into_string().expect("UTF-8"))
        .collect()
}

/// Uploads a file and posts it; its id.
async fn posted(server: &Server, who: &Person, name: &str, bytes: &[u8]) -> String {
    let file = server
        .http()
        .upload(who.token(), name, bytes.to_vec())
        .await;
    let id = file.expect(201).json()["id"].clone();
    let mut ws = who.joined(server, "general").await;
    let client_msg_id = uuid::Uuid::new_v4().to_string();
    let post = json!({"type": "send", "channel": "general", "client_msg_id": client_msg_id,
        "file_id": id});
    assert_eq!(ws.ask(post).await["type"], "ack");
    id.as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn content_of_a_file_counts_not_its_size_and_pipes_do_not_hang() {
    let server = Server::start(MODE).await;
    let ann = Terminal::new(&server, "ann");
    let pipe = ann.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is installed").success());
    std::fs::write(ann.path("empty"), "").expect("ours");
    let lines =
        "/upload /proc/cpuinfo\n/upload empty\n/upload pipe\n/upload /dev/zero\n/upload .\n";
    let ended = ann.pipes(&["--register"], lines).await;
    let (stdout, stderr) = ended.failed();
    assert!(stderr.contains("3 lines or files failed"), "{stderr}");
    assert!(stdout.contains("pipe is not a file"), "{stdout}");
    let bob = Person::register(&server, "bob").await;
    let mut sizes = BTreeMap::new();
    for message in bob.history(&server, "general").await {
        let name = message["file"]["name"].as_str().expect("a name").to_owned();
        sizes.insert(name, message["file"]["size"].as_u64().expect("a size"));
    }
    assert_eq!(sizes.len(), 2, "{sizes:?}");
    assert_eq!(sizes["empty"], 0);
    assert!(sizes["cpuinfo"] > 0);
}

#[tokio::test]
async fn download_touches_no_other_file_and_two_do_not_disturb_each_other() {
    let server = Server::start(MODE).await;
    let bob = Person::register(&server, "bob").await;
    let bytes = vec![7; 3 << 20];
    let id = posted(&server, &bob, "report.bin", &bytes).await;
    let ann = Terminal::new(&server, "ann");
    std::fs::write(ann.path("report.bin.part"), "mine").expect("ours");
    let longest = "n".repeat(255);
    let lines = format!("/download {id} {longest}\n/download {id}\n/download {id}\n");
    let ended = ann.pipes(&["--register"], lines).await;
    let (stdout, _) = ended.failed();
    assert!(stdout.contains("report.bin already exists"), "{stdout}");
    let expected = [".local", "report.bin", "report.bin.part", &longest];
    assert_eq!(names_in(ann.home()), expected.map(str::to_owned).into());
    for name in ["report.bin", &longest] {
        assert!(std::fs::read(ann.path(name)).expect("it is there") == bytes);
    }
    let mine = std::fs::read_to_string(ann.path("report.bin.part"));
    assert_eq!(mine.expect("it is there"), "mine");
}

#[tokio::test]
async fn interrupted_download_leaves_nothing() {
    let server = Server::start(MODE).await;
    let bob = Person::register(&server, "bob").await;
    let id = posted(&server, &bob, "report.bin", &vec![7; 8 << 20]).await;
    let ann = Terminal::new(&server, "ann");
    let mut running = Piped::start(ann.command(&["--register"]));
    running.prints("#general").await;
    running.says(format!("/download {id}\n")).await;
    eventually("the download has begun or ended", async || {
        (names_in(ann.home()).len() > 1).then_some(())
    })
    .await;
    let pid = running.child.id().expect("it runs");
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
    kill_process(pid, Signal::TERM).expect("ours");
    running.ended().await;
    let left = names_in(ann.home());
    assert!(!left.iter().any(|name| name.ends_with(".part")), "{left:?}");
}

#[tokio::test]
async fn foreign_names_neither_deceive_nor_become_options() {
    let server = Server::start(MODE).await;
    let bob = Person::register(&server, "bob").await;
    let option = posted(&server, &bob, "--checkpoint-action=exec=sh x.sh", b"1").await;
    let disguised = posted(&server, &bob, "report\u{202e}fdp.sh", b"2").await;
    let ann = Terminal::new(&server, "ann");
    let lines = format!("/download {option}\n/download {disguised}\n");
    let ended = ann.pipes(&["--register"], lines).await;
    let stdout = ended.succeeded();
    assert!(
        stdout.contains("[report\\u{202e}fdp.sh, 1 bytes"),
        "{stdout}"
    );
    let names = names_in(ann.home());
    for name in ["_--checkpoint-action=exec=sh x.sh", "reportfdp.sh"] {
        assert!(names.contains(name), "{names:?}");
    }
    let history = bob.history(&server, "general").await;
    let sent: Vec<&Value> = history.iter().map(|m| &m["file"]["name"]).collect();
    assert_eq!(sent[1], "report\u{202e}fdp.sh");
}
