//! What operators install, and what docs/operations.md says about formats.

use std::fs;
use std::process::Command;

use crate::text;

const UNIT: &str = "packaging/systemd/lakechat.service";

/// Exposure that `systemd-analyze security` may find, in tenths; 10 is the best group.
const MOST_EXPOSED: &str = "15";

fn succeeds(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} can't be run: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{command:?}: {said}");
}

#[test]
fn systemd_accepts_the_unit_and_its_sandbox_is_tight() {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("lakechat.service");
    // Here the binary isn't where it is installed.
    let program = std::env::current_exe().expect("a path");
    let here = text(UNIT).replace("/usr/local/bin/lakechat", &program.display().to_string());
    fs::write(&unit, here).expect("written");
    succeeds(Command::new("systemd-analyze").arg("verify").arg(&unit));
    let exposure = [
        "security",
        "--offline=true",
        "--no-pager",
        "--threshold",
        MOST_EXPOSED,
    ];
    succeeds(Command::new("systemd-analyze").args(exposure).arg(&unit));
}

#[test]
fn unit_gives_a_drain_its_time_and_connections_their_descriptors() {
    let unit = text(UNIT);
    let number = |key: &str| -> u64 {
        let line = unit.lines().find_map(|line| line.strip_prefix(key));
        line.expect(key).parse().expect("a number")
    };
    let sections = text("src/config/sections.rs");
    let default = |key: &str| -> u64 {
        let (_, rest) = sections
            .split_once(&format!("\n        {key}: "))
            .expect(key);
        let (_, rest) = rest.split_once(" = ").expect("a default");
        let digits = rest.chars().filter(|c| *c != '_');
        let digits: String = digits.take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    };
    assert!(number("TimeoutStopSec=") > default("drain_seconds"));
    assert!(number("LimitNOFILE=") > default("max_connections"));
}

#[test]
fn formats_have_the_versions_that_the_document_names() {
    let document = text("docs/operations.md");
    let constants = [
        (
            "a record of the log",
            "crates/core/src/chat/log/record.rs",
            "VERSION: u64",
        ),
        (
            "the data folder",
            "crates/embedded/src/folder.rs",
            "LAYOUT_VERSION: u32",
        ),
        (
            "the database in it",
            "crates/embedded/src/database.rs",
            "SCHEMA_VERSION: i32",
        ),
        (
            "the rows in HBase",
            "crates/cluster/src/hbase/log_row.rs",
            "CONTRACT: u32",
        ),
    ];
    for (what, file, constant) in constants {
        let row = document
            .lines()
            .find(|line| line.starts_with(&format!("| {what} |")));
        let named = row.and_then(|row| row.trim_end_matches(" |").rsplit(" | ").next());
        let source = text(file);
        let (_, value) = source
            .split_once(&format!("const {constant} = "))
            .expect(constant);
        let (value, _) = value.split_once(';').expect("its end");
        assert_eq!(named, Some(value), "{what}");
    }
}

#[test]
fn tests_that_the_procedures_name_exist() {
    let document = text("docs/operations.md");
    let mut tests = String::new();
    for file in ["adopt", "procedures"] {
        tests += &text(&format!("integration-tests/tests/cluster/{file}.rs"));
    }
    let mut named = 0;
    for paragraph in document
        .split("\n\n")
        .filter(|text| text.starts_with("*Tested:*"))
    {
        for name in paragraph.split('`').skip(1).step_by(2) {
            assert!(tests.contains(&format!("fn {name}(")), "{name}");
            named += 1;
        }
    }
    assert!(named >= 5, "only {named}");
}
