//! Read back from a cluster's services, by the HBase shell, Hadoop's FsShell, Kafka's console consumer and
//! `redis-cli`. Each of the first three is a JVM that takes seconds to start, so it is asked once for all.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration_tests::cluster::Cluster;
use integration_tests::hbase_shell::{self, Cell};
use integration_tests::input::{Input, Stored};
use integration_tests::on_hdfs::fs_shell;
use integration_tests::{Person, Server, eventually, stack};
use serde_json::Value;
use tokio::task::block_in_place;

/// Larger files go to HDFS: some of the tree do, and some don't.
const INLINE_BYTES: &str = "16384";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_tree_and_readme_come_back_from_the_services_as_they_were() -> Result<()> {
    let input = Input::read();
    let cluster = Cluster::fresh().await?;
    let env = [
        ("LAKECHAT_SERVER__ID", "a"),
        ("LAKECHAT_FILES__INLINE_BYTES", INLINE_BYTES),
    ];
    let server = Server::of(&cluster, &env).await;
    let ann = Person::register(&server, "ann").await;
    let stored = input.upload(&server, &ann).await;
    let mut ws = ann.joined(&server, "general").await;
    let history = input.say(&server, &ann, &mut ws).await;
    eventually("all of it is archived", async || {
        let ready = server.http().get("/readyz", "").await.json();
        (ready["parts"]["archiver"]["lag_records"] == 0).then_some(())
    })
    .await;

    let session = ws.welcome["session"].as_str().context("a session")?;
    ensure_present(&cluster, session).await;
    ws.close().await;
    eventually("Redis has no entry left", async || {
        keys(&cluster).is_empty().then_some(())
    })
    .await;

    block_in_place(|| {
        let rows = Rows::scan(&cluster)?;
        rows.hold_messages(&input, &history)?;
        let in_hdfs = rows.hold_files(&input, &stored)?;
        hdfs_has(&cluster, &input, &in_hdfs)?;
        log_has(&cluster, &input)
    })
}

/// What the HBase shell shows of messages and files.
struct Rows {
    messages: Vec<Cell>,
    files: Vec<Cell>,
}

impl Rows {
    fn scan(cluster: &Cluster) -> Result<Rows> {
        let tables = cluster.tables.name_prefix();
        let scan = |table: &str| format!("scan '{tables}{table}'\n");
        let printed = stack::hbase_shell(&[scan("messages"), scan("files")].concat())?;
        let mut cells = hbase_shell::steps(&printed)
            .into_iter()
            .map(|step| step.cells());
        let mut next = || cells.next().context("an answer");
        Ok(Rows {
            messages: next()?,
            files: next()?,
        })
    }

    /// All lines, in the order of their keys.
    fn hold_messages(&self, input: &Input, history: &[Value]) -> Result<()> {
        assert_eq!(self.of_messages("m:text")?, input.lines);
        let expected: Vec<_> = (1..=input.lines.len()).map(|n| n.to_string()).collect();
        assert_eq!(self.of_messages("m:n")?, expected);
        let keys = self.messages.iter().filter(|c| c.column == "m:n");
        for (cell, message) in keys.zip(history) {
            let id = message["id"].as_str().context("an id")?;
            assert_eq!(cell.row, format!("95general\0{id}").as_bytes());
        }
        Ok(())
    }

    fn of_messages(&self, column: &str) -> Result<Vec<&str>> {
        let cells = self.messages.iter().filter(|c| c.column == column);
        cells
            .map(|cell| Ok(std::str::from_utf8(&cell.value)?))
            .collect()
    }

    /// Names, sums and the bytes of small files; the others' paths in HDFS, by name.
    fn hold_files(&self, input: &Input, stored: &BTreeMap<&str, Stored>) -> Result<InHdfs> {
        let cell = |id: &str, column: &str| {
            let mut all = self.files.iter();
            let found = all.find(|c| c.row == id.as_bytes() && c.column == column);
            found.map(|cell| cell.value.as_slice())
        };
        let mut in_hdfs = BTreeMap::new();
        for (name, file) in stored {
            assert_eq!(cell(&file.id, "d:name"), Some(name.as_bytes()));
            assert_eq!(cell(&file.id, "d:sha256"), Some(file.sha256.as_bytes()));
            match cell(&file.id, "d:path") {
                Some(path) => {
                    in_hdfs.insert((*name).to_owned(), String::from_utf8(path.to_vec())?);
                }
                None => {
                    let bytes = std::fs::read(&input.files[*name])?;
                    assert!(cell(&file.id, "b:data") == Some(&bytes), "{name}");
                }
            }
        }
        ensure!(in_hdfs.len() > 2 && in_hdfs.len() < stored.len(), "both");
        Ok(in_hdfs)
    }
}

/// Paths below `files` by the files' names.
type InHdfs = BTreeMap<String, String>;

/// The bytes are those of the tree, and their checksums those of copies that FsShell itself put there.
fn hdfs_has(cluster: &Cluster, input: &Input, in_hdfs: &InHdfs) -> Result<()> {
    let root = &cluster.root.0;
    let local: Vec<_> = in_hdfs.keys().map(|name| &input.files[name]).collect();
    let paths: Vec<_> = in_hdfs
        .values()
        .map(|path| format!("{root}/files/{path}"))
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();

    let shown = fs_shell(&[&["-cat"], paths.as_slice()].concat())?;
    let mut expected = Vec::new();
    for path in &local {
        expected.extend(std::fs::read(path)?);
    }
    assert!(shown == expected, "the bytes of {paths:?}");

    // Names within a tree are paths; copies get the last part of lakechat's.
    let copies = tempfile::tempdir()?;
    let names = paths
        .iter()
        .map(|path| path.rsplit('/').next().unwrap_or_default());
    let names: Vec<_> = names.collect();
    for (name, path) in names.iter().zip(&local) {
        std::fs::copy(path, copies.path().join(name))?;
    }
    let folder = copies.path().join("");
    let put = format!("{root}/put");
    fs_shell(&["-put", folder.to_str().context("UTF-8")?, &put])?;
    let copies: Vec<_> = names.iter().map(|name| format!("{put}/{name}")).collect();
    let copies = copies.iter().map(String::as_str);
    let asked: Vec<&str> = ["-checksum"]
        .into_iter()
        .chain(paths.iter().copied())
        .chain(copies)
        .collect();
    let printed = String::from_utf8(fs_shell(&asked)?)?;
    let sums: Vec<_> = printed
        .lines()
        .map(|line| line.split_once('\t').map(|(_, sum)| sum))
        .collect();
    let (of_lakechat, of_fs_shell) = sums.split_at(paths.len());
    ensure!(sums.len() == 2 * paths.len(), "{printed}");
    assert_eq!(of_lakechat, of_fs_shell);
    Ok(())
}

/// The console consumer prints the lines, in their order.
fn log_has(cluster: &Cluster, input: &Input) -> Result<()> {
    // Ann's membership stands before them.
    let count = (input.lines.len() + 1).to_string();
    let topic = cluster.topics.messages();
    let printed = stack::run(&[
        "kafka",
        "console-consumer",
        "--topic",
        &topic,
        "--from-beginning",
        "--max-messages",
        &count,
    ])?;
    let mut texts = Vec::new();
    for line in String::from_utf8(printed)?.lines() {
        let record: Value = serde_json::from_str(line)?;
        if record["kind"] == "message" {
            texts.push(record["text"].as_str().context("a text")?.to_owned());
        }
    }
    assert_eq!(texts, input.lines);
    Ok(())
}

async fn ensure_present(cluster: &Cluster, session: &str) {
    let prefix = &cluster.redis_prefix;
    let session = format!("session:{session}");
    let expected = ["address:127.0.0.1", "channel:general", &session, "user:ann"];
    let expected = expected.map(|key| format!("{prefix}{key}"));
    eventually("Redis has the session's entries", async || {
        (keys(cluster) == expected).then_some(())
    })
    .await;
    let entry = redis_cli(&["hmget", &expected[2], "user", "server"]);
    assert_eq!(entry, ["ann", "a"]);
    let left_ms = redis_cli(&["pttl", &expected[2]]);
    assert!(
        left_ms[0].parse::<u64>().is_ok_and(|ms| ms > 0),
        "{left_ms:?}"
    );
}

/// The keys of presence; that of the installation stays.
fn keys(cluster: &Cluster) -> Vec<String> {
    let prefix = &cluster.redis_prefix;
    let mut keys = redis_cli(&["keys", &format!("{prefix}*")]);
    keys.retain(|key| *key != format!("{prefix}installation"));
    keys.sort();
    keys
}

fn redis_cli(args: &[&str]) -> Vec<String> {
    let output = Command::new("redis-cli")
        .args(args)
        .output()
        .expect("redis-cli");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("text");
    let lines = printed.lines().filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}
