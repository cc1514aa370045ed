//! What becomes of a folder whose disk is full, or loses its power.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::bytes::{made, sha256, sha256_of};
use integration_tests::people::PASSWORD;
use integration_tests::power_cut::PowerCut;
use integration_tests::traffic::Traffic;
use integration_tests::ws::send_frame;
use integration_tests::{Person, Server, eventually, within};
use rand::RngExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::MODE;

const SENDERS: usize = 4;
const PACE: Duration = Duration::from_millis(2);

/// Messages that are acked between two deaths, at least.
const ACKED: u64 = 100;

/// Larger than what is kept in the database.
const FILE_BYTES: u64 = 700_000;

/// `TEST_DEATHS` says otherwise.
const DEATHS: usize = 4;

/// Who uploads gets no answer.
async fn upload(server: &Server, token: &str, seed: u64) -> Option<String> {
    let path = format!("/upload?name={seed}");
    let request = server.http().request(Method::POST, &path);
    let bytes = reqwest::Body::wrap_stream(made(seed, FILE_BYTES));
    let answer = request.bearer_auth(token).body(bytes).send().await.ok()?;
    let file: Value = answer.error_for_status().ok()?.json().await.ok()?;
    file["id"].as_str().map(str::to_owned)
}

async fn is_whole(server: &Server, token: &str, id: &str, seed: u64) {
    let path = format!("/download/{id}");
    let file = server.http().get(&path, token).await.expect(200);
    assert_eq!(sha256(&file.body), sha256_of(seed, FILE_BYTES).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_before_or_after_any_sync_loses_nothing_acked_and_no_stored_file() -> Result<()> {
    let deaths = std::env::var("TEST_DEATHS").map_or(Ok(DEATHS), |deaths| deaths.parse())?;
    let power = PowerCut::new()?;
    let env = power.env();
    let env: Vec<_> = env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let mut server = Server::with(MODE, &env).await;
    let mut traffic = Traffic::begin(&[&server], SENDERS, PACE).await;
    let token = traffic.person().token().to_owned();
    let mut files = Vec::new();
    for death in 0..deaths {
        within(traffic.acked_more(ACKED)).await;
        let nth = rand::rng().random_range(1..40);
        power.kill_at(if death % 2 == 0 { nth } else { -nth })?;
        let seeds = 100 * death as u64..;
        let uploading = async {
            for seed in seeds {
                match upload(&server, &token, seed).await {
                    Some(id) => files.push((seed, id)),
                    None => break,
                }
            }
        };
        within(uploading).await;
        assert!(!server.ended().await.success());
        let lost = power.strike(server.data_dir())?;
        println!("killed at sync {nth}: {lost} bytes were not on the disk");
        server.restart().await;
    }
    for (seed, id) in &files {
        is_whole(&server, &token, id, *seed).await;
    }
    let messages = within(traffic.settle(&[&server])).await;
    println!("{messages} messages and {} files", files.len());
    Ok(())
}

/// What each sends until there is no room: large, so that it isn't long.
const TEXT_BYTES: usize = 6_000;

#[tokio::test]
async fn full_disk_is_refused_with_a_code_and_loses_nothing_and_goes_on_when_there_is_room()
-> Result<()> {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    server.stop().await;
    let disk = SmallDisk::over(server.data_dir())?;
    server.restart().await;
    let stored = upload(&server, ann.token(), 7).await.context("stored")?;
    let mut ws = ann.joined(&server, "general").await;
    disk.fill()?;
    let text = "x".repeat(TEXT_BYTES);
    let mut acked = Vec::new();
    // The space of what was archived before is used again.
    let refused = loop {
        let frame = send_frame("general", &format!("a-{}", acked.len()), &text);
        let answer = ws.ask(frame).await;
        if answer["type"] != "ack" {
            break answer;
        }
        acked.push(answer["id"].clone());
    };
    assert_eq!(refused["error"]["code"], "broker_unavailable", "{refused}");
    let bytes = vec![7; FILE_BYTES as usize];
    let refused = server.http().upload(ann.token(), "plan", bytes).await;
    let refused = refused.expect(503);
    assert_eq!(refused.code(), "storage_unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let body = json!({"username": "bob", "password": PASSWORD});
    let refused = server.http().open(Method::POST, "/register", body).await;
    assert_eq!(refused.expect(503).code(), "directory_unavailable");
    assert_eq!(ids(&ann.history(&server, "general").await), acked);
    is_whole(&server, ann.token(), &stored, 7).await;

    disk.free()?;
    let frame = send_frame("general", &format!("a-{}", acked.len()), &text);
    let ack = eventually("what was refused is taken", async || {
        let answer = ws.ask(frame.clone()).await;
        (answer["type"] == "ack").then_some(answer)
    })
    .await;
    acked.push(ack["id"].clone());
    upload(&server, ann.token(), 8).await.context("stored")?;
    Person::register(&server, "bob").await;
    eventually("nothing half is left", async || {
        server.files_in("tmp").is_empty().then_some(())
    })
    .await;
    server.kill_9().await;
    server.restart().await;
    assert_eq!(ids(&ann.history(&server, "general").await), acked);
    println!(
        "{} messages, the disk full after {}",
        acked.len(),
        acked.len() - 1
    );
    Ok(())
}

fn ids(messages: &[Value]) -> Vec<Value> {
    messages.iter().map(|m| m["id"].clone()).collect()
}

/// Room for a database and some files.
const DISK_MIB: u64 = 64;

/// A small disk over a folder, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// With all that is in the folder.
    fn over(folder: &Path) -> Result<SmallDisk> {
        let aside = tempfile::tempdir()?;
        let copy = |from: &Path, to: &Path| run("cp", &["-a".as_ref(), &from.join("."), to]);
        copy(folder, aside.path())?;
        let owner = rustix::process::geteuid().as_raw();
        let options = format!("size={DISK_MIB}m,mode=0700,uid={owner}");
        let words = ["-t", "tmpfs", "-o", &options, "tmpfs"].map(Path::new);
        as_root("mount", &[&words[..], &[folder]].concat())?;
        let disk = SmallDisk(folder.to_owned());
        copy(aside.path(), folder)?;
        Ok(disk)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves no room at all.
    fn fill(&self) -> Result<()> {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())?;
        match std::io::copy(&mut std::io::repeat(7), &mut file) {
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(()),
            other => anyhow::bail!("it isn't full: {other:?}"),
        }
    }

    fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }
}

impl Drop for SmallDisk {
    /// What still uses it keeps it until it ends.
    fn drop(&mut self) {
        if let Err(error) = as_root("umount", &["-l".as_ref(), &self.0]) {
            eprintln!("{} stays mounted: {error:#}", self.0.display());
        }
    }
}

/// Whoever isn't needs a `sudo` that doesn't ask.
fn as_root(program: &str, args: &[&Path]) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return run(program, args);
    }
    run("sudo", &[&["-n", program].map(Path::new), args].concat())
}

fn run(program: &str, args: &[&Path]) -> Result<()> {
    let output = Command::new(program).args(args).output()?;
    ensure!(output.status.success(), "{program} {args:?}: {output:?}");
    Ok(())
}
