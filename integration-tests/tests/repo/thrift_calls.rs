//! The table of calls in thrift/README.md, held against the source of the adapter.

use std::collections::BTreeSet;

use crate::{sources, text};

/// The names of the methods that the adapter calls: `.call("getTableNames", …)`.
fn called() -> BTreeSet<String> {
    let name = |call: &str| {
        let (name, _) = call.trim_start().strip_prefix('"')?.split_once('"')?;
        Some(name.to_owned())
    };
    let sources = sources("crates/cluster/src/hbase");
    let calls = sources.iter().flat_map(|s| s.split(".call(").skip(1));
    calls.filter_map(name).collect()
}

#[test]
fn table_of_thrift_calls_has_those_that_the_adapter_makes() {
    let readme = text("thrift/README.md");
    let (_, table) = readme.split_once("| call |").expect("a table");
    let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
    let listed: BTreeSet<_> = rows
        .filter_map(|row| row.split('`').nth(1).map(str::to_owned))
        .collect();
    assert_eq!(listed, called());
}
