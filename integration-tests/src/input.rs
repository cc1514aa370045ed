//! The input: the sources of one of the project's own dependencies as files, its README as messages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Person, Server, Ws};
use serde_json::Value;

/// One with sources and a README.
const DEPENDENCY: &str = "tungstenite";

pub struct Input {
    /// By their path within the tree.
    pub files: BTreeMap<String, PathBuf>,
    /// Without those that are empty.
    pub lines: Vec<String>,
}

/// A file that was uploaded.
pub struct Stored {
    pub id: String,
    pub sha256: String,
}

impl Input {
    pub fn read() -> Input {
        let tree = source_tree();
        let files = files_of(&tree);
        let readme = std::fs::read_to_string(tree.join("README.md")).expect("it has one");
        let lines = readme.lines().filter(|line| !line.is_empty());
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        assert!(files.len() > 20 && lines.len() > 20, "{}", tree.display());
        Input { files, lines }
    }

    /// Uploads all files, by name, and has each of them back as it was.
    pub async fn upload(&self, server: &Server, who: &Person) -> BTreeMap<&str, Stored> {
        let mut stored = BTreeMap::new();
        for (name, path) in &self.files {
            let bytes = std::fs::read(path).expect("readable");
            let http = server.http();
            let file = http.upload(who.token(), name, bytes.clone()).await;
            let file = file.expect(201).json();
            let text = |field: &str| file[field].as_str().expect("a text").to_owned();
            let path = format!("/download/{}", text("id"));
            let got = http.get(&path, who.token()).await.expect(200);
            assert!(got.body == bytes, "{name}");
            let (id, sha256) = (text("id"), text("sha256"));
            stored.insert(name.as_str(), Stored { id, sha256 });
        }
        stored
    }

    /// Says all lines and has them back from history.
    pub async fn say(&self, server: &Server, who: &Person, ws: &mut Ws) -> Vec<Value> {
        for (n, line) in self.lines.iter().enumerate() {
            ws.say("general", &format!("readme-{n}"), line).await;
        }
        let history = who.history(server, "general").await;
        let texts: Vec<_> = history
            .iter()
            .map(|m| m["text"].as_str().expect("a text"))
            .collect();
        assert_eq!(texts, self.lines);
        history
    }
}

/// Where cargo has the sources of the dependency.
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
