//! The real services, as `integration-tests/stack` runs them.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Where HBase's Thrift server is; `TEST_THRIFT` names another one.
pub fn thrift() -> String {
    std::env::var("TEST_THRIFT").unwrap_or_else(|_| "127.0.0.1:9090".to_owned())
}

/// The script; `TEST_STACK` names another one.
pub fn script() -> PathBuf {
    match std::env::var_os("TEST_STACK") {
        Some(path) => path.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("stack"),
    }
}

/// Runs statements in the HBase shell, which takes some ten seconds; what it printed.
pub fn hbase_shell(statements: &str) -> Result<String> {
    let mut shell = Command::new(script())
        .arg("shell")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} shell", script().display()))?;
    let mut input = shell.stdin.take().context("piped")?;
    input.write_all(statements.as_bytes())?;
    drop(input);
    let output = shell.wait_with_output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "HBase shell: {printed}\n{said}");
    Ok(printed)
}
