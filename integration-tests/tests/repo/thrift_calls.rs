//! The table of calls in thrift/README.md, held against the source of the adapter.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ADAPTER: &str = "crates/cluster/src/hbase";

fn of_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The names by which the adapter says whom it calls: `.call("getTableNames", …)`.
fn called(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in folder.read_dir().expect("sources") {
        let path = entry.expect("a source").path();
        if path.is_dir() {
            called(&path, names);
            continue;
        }
        let source = std::fs::read_to_string(path).expect("text");
        let calls = source.split(".call(").skip(1);
        let name = |call: &str| {
            let (name, _) = call.trim_start().strip_prefix('"')?.split_once('"')?;
            Some(name.to_owned())
        };
        names.extend(calls.filter_map(name));
    }
}

#[test]
fn table_of_thrift_calls_has_those_that_the_adapter_makes() {
    let mut made = BTreeSet::new();
    called(&of_project(ADAPTER), &mut made);
    let readme = std::fs::read_to_string(of_project("thrift/README.md")).expect("a document");
    let (_, table) = readme.split_once("| call |").expect("a table");
    let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
    let listed: BTreeSet<_> = rows
        .filter_map(|row| row.split('`').nth(1).map(str::to_owned))
        .collect();
    assert_eq!(listed, made);
}
