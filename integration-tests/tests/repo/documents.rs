//! The documents that promise to be complete, held against the sources.

use std::collections::BTreeSet;

use crate::{sources, text};

/// The cells of the table rows that begin with a name in backticks. The first cell lacks its
/// opening backtick.
fn rows(document: &str) -> impl Iterator<Item = Vec<&str>> {
    let named = document.lines().filter_map(|l| l.strip_prefix("| `"));
    named.map(|row| row.trim_end_matches(" |").split(" | ").collect())
}

/// The names in such a first cell, which may hold several: `one`, `two`.
fn names_in(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').step_by(2).map(str::to_owned)
}

/// The names in `counter!("lakechat_…"` and the like, apart from those of tests.
pub fn emitted() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in ["src", "crates"].into_iter().flat_map(sources) {
        let (shipped, _tests) = source
            .split_once("#[cfg(test)]\nmod tests {")
            .unwrap_or((&source, ""));
        for kind in ["counter!(", "gauge!(", "histogram!("] {
            let arguments = shipped.split(kind).skip(1);
            names.extend(arguments.filter_map(|text| {
                let (name, _) = text.trim_start().strip_prefix('"')?.split_once('"')?;
                Some(name.to_owned())
            }));
        }
    }
    names
}

#[test]
fn every_metric_is_described() {
    let document = text("docs/metrics.md");
    let is_metric = |cells: &Vec<&str>| ["counter", "gauge", "histogram"].contains(&cells[1]);
    let described: BTreeSet<_> = rows(&document)
        .filter(is_metric)
        .flat_map(|cells| names_in(cells[0]))
        .filter(|name| name.starts_with("lakechat_"))
        .collect();
    let emitted = emitted();
    assert!(emitted.len() > 50, "found only {emitted:?}");
    assert_eq!(described, emitted);
}

/// The keys of `section!` blocks, such as `id: Option<ServerId> = None;` in `Server "server." {`.
fn keys() -> BTreeSet<String> {
    let source = text("src/config/sections.rs");
    let mut keys = BTreeSet::new();
    for section in source.split("\nsection! {").skip(1) {
        let head = section.lines().find(|line| line.ends_with("\" {"));
        let quoted = head.and_then(|head| head.split('"').nth(1));
        let prefix = quoted.expect("a section has a prefix");
        let fields = section.lines().filter_map(|l| l.strip_prefix("        "));
        let names = fields.filter_map(|field| Some(field.split_once(": ")?.0));
        let is_key = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        keys.extend(names.filter(is_key).map(|name| format!("{prefix}{name}")));
    }
    keys
}

#[test]
fn every_key_of_the_configuration_is_described_with_its_variable() {
    let document = text("docs/configuration.md");
    let described: BTreeSet<_> = rows(&document)
        .map(|cells| (cells[0].replace('`', ""), cells[3].replace('`', "")))
        .collect();
    let with_variable = |key: String| {
        let variable = format!("LAKECHAT_{}", key.replace('.', "__").to_uppercase());
        (key, variable)
    };
    let expected: BTreeSet<_> = keys().into_iter().map(with_variable).collect();
    assert!(expected.len() > 50, "found only {expected:?}");
    assert_eq!(described, expected);
}

/// The codes of `codes!`, such as `BadJson = "bad_json",`.
fn codes() -> Vec<String> {
    let source = text("crates/core/src/domain/problem.rs");
    let (_, list) = source.split_once("\ncodes! {").expect("the list of codes");
    let (list, _) = list.split_once("\n}").expect("its end");
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_error_code_is_described() {
    let documents = text("docs/http.md") + &text("docs/websocket.md");
    let codes = codes();
    assert!(codes.len() > 50, "found only {codes:?}");
    let is_missing = |code: &&String| !documents.contains(&format!("`{code}`"));
    let missing: Vec<_> = codes.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "in no document: {missing:?}");
}
