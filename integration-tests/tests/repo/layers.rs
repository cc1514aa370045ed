//! Which module may use which, and which crate may depend on what. Cargo checks the order of the crates;
//! this checks the order within one, by the `crate::…` paths in its sources.

use std::fs;
use std::path::{Path, PathBuf};

use crate::of_project;

/// The modules of each crate, with those that they may use besides themselves.
const MODULES: &[(&str, &[&str])] = &[
    (
        "crates/core",
        &[
            "domain",
            "json_object: domain",
            "ports: domain",
            "limits: domain",
            "keyed_memory",
            "single_flight",
            "threads",
            "accounts: domain limits ports single_flight threads",
            "chat: accounts domain json_object keyed_memory limits ports single_flight threads",
            "files: domain limits ports",
        ],
    ),
    (
        "crates/cluster",
        &[
            "owner",
            "hbase: owner",
            "hdfs: owner",
            "kafka: owner",
            "redis: owner",
            "sweep_guard: hbase hdfs owner",
        ],
    ),
    (
        ".",
        &[
            "open_files",
            "shutdown",
            "readiness: shutdown",
            "telemetry: shutdown",
            // The format of the log is a setting.
            "config: telemetry",
            "http: config readiness shutdown",
            "app: config http open_files readiness shutdown telemetry",
            "cli: app config",
        ],
    ),
];

const HTTP: &[&str] = &[
    "http",
    "http-body",
    "hyper",
    "hyper-util",
    "multer",
    "reqwest",
    "warp",
];
const EMBEDDED: &[&str] = &["lakechat-embedded", "rusqlite"];
const CLUSTER: &[&str] = &["hbase-thrift", "hdfs-native", "rdkafka", "redis", "thrift"];

/// What a crate's manifest never names.
const NEVER: &[(&str, &[&[&str]])] = &[
    ("crates/core", &[HTTP, EMBEDDED, CLUSTER]),
    ("crates/client", &[EMBEDDED, CLUSTER]),
    ("crates/embedded", &[HTTP, CLUSTER, &["lakechat-cluster"]]),
    ("crates/cluster", &[HTTP, EMBEDDED]),
    (".", &[CLUSTER, &["rusqlite"]]),
];

#[test]
fn modules_use_only_those_that_they_may() {
    let mut wrong = Vec::new();
    for (package, lines) in MODULES {
        let sources = of_project(package).join("src");
        for file in files_below(&sources) {
            let path = file.strip_prefix(&sources).expect("below it");
            let first = path.iter().next().and_then(|name| name.to_str());
            let module = first.expect("UTF-8").trim_end_matches(".rs");
            if matches!(module, "lib" | "main") {
                continue;
            }
            let mut rules = lines.iter().map(|line| line.split([':', ' ']));
            let known = rules.find_map(|mut words| (words.next() == Some(module)).then_some(words));
            let may_use: Vec<_> = known
                .unwrap_or_else(|| panic!("{package} has no line for {module}"))
                .collect();
            let text = fs::read_to_string(&file).expect("UTF-8");
            let used = modules_in(&text).filter(|used| *used != module && !may_use.contains(used));
            wrong.extend(used.map(|used| format!("{path:?} uses {used}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What follows `crate::`, outside comments. A group, `crate::{…}`, counts as the module `{`.
fn modules_in(text: &str) -> impl Iterator<Item = &str> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let paths = lines.flat_map(|line| line.split("crate::").skip(1));
    paths.map(|path| {
        let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
        path.get(..end.unwrap_or(path.len()).max(1))
            .unwrap_or_default()
    })
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn crates_do_not_depend_on_what_belongs_to_others() {
    for (package, never) in NEVER {
        let manifest = of_project(package).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("a manifest");
        let (_, after) = manifest.split_once("\n[dependencies]\n").expect(package);
        let section = after.split("\n[").next().unwrap_or(after);
        for line in section.lines() {
            let name = line.split(['.', ' ']).next().unwrap_or_default();
            let named = never.iter().any(|names| names.contains(&name));
            assert!(!named, "{package} depends on {name}");
        }
    }
}
