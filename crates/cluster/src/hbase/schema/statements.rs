//! The statements that create the tables, for the HBase shell.

use std::fmt::Write;

use super::super::settings::HBaseSettings;
use super::super::tables::{Table, Tables, VERSIONS};

/// Regions of each large table by default.
pub const DEFAULT_REGIONS: u16 = 16;

/// As many as two hex digits, which row keys begin with, can tell apart.
pub const MOST_REGIONS: u16 = 256;

/// The statements for `regions` regions, from 1 to [`MOST_REGIONS`]. They skip what exists, so they can be run
/// again.
pub fn statements(settings: &HBaseSettings, regions: u16) -> String {
    let tables = Tables::new(settings);
    let mut script = header(&tables);
    for table in Table::ALL {
        let name = tables.name(table);
        let families = table.families().iter().map(|name| family(name));
        let families = families.collect::<Vec<_>>().join(", ");
        let splits = if table.is_spread() {
            splits(regions)
        } else {
            String::new()
        };
        writeln!(
            script,
            "create '{name}', {families}{splits} unless exists('{name}')"
        )
        .expect("a String takes everything");
    }
    script
}

fn header(tables: &Tables) -> String {
    let mut script = String::from(
        "# The tables of lakechat, for the HBase shell: hbase shell -n < this\n\
         # Safe to run again: what is there stays as it is. `lakechat schema check` compares.\n\
         # Cell timestamps are no times: set no TTL. Compression is the site's choice (COMPRESSION => 'ZSTD').\n",
    );
    let namespace = &tables.namespace;
    if namespace != "default" {
        writeln!(
            script,
            "create_namespace '{namespace}' unless @shell.hbase.admin.list_namespace('^{namespace}$').include?('{namespace}')"
        )
        .expect("a String takes everything");
    }
    script
}

/// FAST_DIFF stores the common parts of consecutive keys once; the bytes of files have none.
fn family(name: &str) -> String {
    let encoding = match name {
        "b" => "NONE",
        _ => "FAST_DIFF",
    };
    format!("{{NAME => '{name}', VERSIONS => {VERSIONS}, DATA_BLOCK_ENCODING => '{encoding}'}}")
}

/// Evenly spaced split points in the two hex digits that row keys begin with.
fn splits(regions: u16) -> String {
    let keys: Vec<_> = (1..regions)
        .map(|at| format!("'{:02x}'", at * MOST_REGIONS / regions))
        .collect();
    if keys.is_empty() {
        return String::new();
    }
    format!(", SPLITS => [{}]", keys.join(", "))
}
