//! Input that nobody here wrote, read back by software that nobody here wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration_tests::{Person, Server, eventually};
use serde_json::Value;

/// One of the project's own dependencies, with sources and a README.
const DEPENDENCY: &str = "tungstenite";

/// Where cargo has the sources of that dependency.
fn source_tree() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--manifest-path",
        ])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|p| p["name"] == DEPENDENCY);
    let manifest = package.expect("a dependency")["manifest_path"].as_str();
    let folder = Path::new(manifest.expect("a path")).parent();
    folder.expect("a folder").to_owned()
}

/// The files of a tree by their path within it.
fn files_of(tree: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(tree).expect("within it");
                found.insert(name.to_str().expect("UTF-8").to_owned(), path);
            }
        }
    }
    found
}

fn output_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|_| panic!("{program} is installed"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn sqlite3(server: &Server, query: &str) -> Vec<Value> {
    let database = server.database();
    let path = database.to_str().expect("UTF-8");
    let rows = output_of("sqlite3", &["-readonly", "-json", path, query]);
    if rows.trim().is_empty() {
        return Vec::new();
    }
    serde_json::from_str(&rows).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_tree_and_readme_come_back_as_they_were() {
    let server = Server::start().await;
    let ann = Person::register(&server, "ann").await;
    let tree = source_tree();
    let files = files_of(&tree);
    assert!(
        files.len() > 20,
        "{} has only {} files",
        tree.display(),
        files.len()
    );

    let mut sums = BTreeMap::new();
    for (name, path) in &files {
        let bytes = std::fs::read(path).expect("readable");
        let file = server.http().upload(ann.token(), name, bytes.clone()).await;
        let file = file.expect(201).json();
        let path = format!("/download/{}", file["id"].as_str().expect("an id"));
        let got = server.http().get(&path, ann.token()).await.expect(200);
        assert!(got.body == bytes, "{name}");
        sums.insert(
            name.as_str(),
            file["sha256"].as_str().expect("a sum").to_owned(),
        );
    }
    for (name, path) in &files {
        let sum = output_of("sha256sum", &["--binary", path.to_str().expect("UTF-8")]);
        let sum = sum.trim_start_matches('\\').split(' ').next();
        assert_eq!(sum, Some(sums[name.as_str()].as_str()), "{name}");
    }
    let rows = sqlite3(
        &server,
        "SELECT name, size, sha256 FROM files ORDER BY name",
    );
    assert_eq!(rows.len(), files.len());
    for row in rows {
        let name = row["name"].as_str().expect("a name");
        assert_eq!(row["sha256"], sums[name]);
        let size = files[name].metadata().expect("readable").len();
        assert_eq!(row["size"], size, "{name}");
    }

    let readme = std::fs::read_to_string(tree.join("README.md")).expect("it has one");
    let lines: Vec<_> = readme.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.len() > 20);
    let mut ws = ann.joined(&server, "general").await;
    for (n, line) in lines.iter().enumerate() {
        ws.say("general", &format!("readme-{n}"), line).await;
    }
    let history = ann.history(&server, "general").await;
    let texts: Vec<_> = history
        .iter()
        .map(|m| m["text"].as_str().expect("a text"))
        .collect();
    assert_eq!(texts, lines);

    let stored = eventually("all of it is archived", async || {
        let query = "SELECT id, sender, text, n FROM messages \
                     WHERE channel = 'general' AND sender IS NOT NULL ORDER BY n";
        let rows = sqlite3(&server, query);
        (rows.len() == lines.len()).then_some(rows)
    })
    .await;
    for (at, row) in stored.iter().enumerate() {
        assert_eq!(
            (&row["text"], &row["n"]),
            (&lines[at].into(), &(at + 1).into())
        );
        let id = history[at]["id"].as_str().expect("an id");
        assert_eq!(format!("{:020}", row["id"].as_u64().expect("a number")), id);
        assert_eq!(row["sender"], "ann");
    }
}
