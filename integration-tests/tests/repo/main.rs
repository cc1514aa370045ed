//! What the sources have to keep to, read from the sources.

mod docker;
mod documents;
mod layers;
mod operations;
mod thrift_calls;

use std::fs;
use std::path::{Path, PathBuf};

fn of_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The text of a file of the project.
fn text(path: &str) -> String {
    fs::read_to_string(of_project(path)).expect("a text of the project")
}

/// The texts of all Rust files under a folder of the project.
fn sources(folder: &str) -> Vec<String> {
    let mut texts = Vec::new();
    collect(&of_project(folder), &mut texts);
    assert!(!texts.is_empty(), "no sources in {folder}");
    texts
}

fn collect(folder: &Path, texts: &mut Vec<String>) {
    for entry in folder.read_dir().expect("a folder of sources") {
        let path = entry.expect("a file or folder").path();
        if path.is_dir() {
            collect(&path, texts);
        } else if path.extension().is_some_and(|e| e == "rs") {
            texts.push(fs::read_to_string(path).expect("a source in UTF-8"));
        }
    }
}
