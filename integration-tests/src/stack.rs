//! The real services, as `integration-tests/stack` runs them.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

/// Where HBase's Thrift server is; `TEST_THRIFT` names another one.
pub fn thrift() -> String {
    std::env::var("TEST_THRIFT").unwrap_or_else(|_| "127.0.0.1:9090".to_owned())
}

/// Fails unless the services listen at these addresses.
pub fn needs(addresses: &[&str]) -> Result<()> {
    for address in addresses {
        ensure!(
            TcpStream::connect(address).is_ok(),
            "needs the services: integration-tests/stack up (nothing listens at {address})"
        );
    }
    Ok(())
}

/// The script; `TEST_STACK` names another one.
pub fn script() -> PathBuf {
    match std::env::var_os("TEST_STACK") {
        Some(path) => path.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("stack"),
    }
}

/// Runs one of the stack's verbs, such as `fs -cat …`; what it printed on standard output.
pub fn run(words: &[&str]) -> Result<Vec<u8>> {
    let output = try_run(words)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {said}");
    Ok(output.stdout)
}

/// The same for who has to look at how it failed.
pub fn try_run(words: &[&str]) -> Result<Output> {
    let script = script();
    let run = Command::new(&script).args(words).output();
    run.with_context(|| format!("{} can't be run", script.display()))
}

/// The same verbs for tests that go on meanwhile.
pub async fn verb(words: &[&str]) -> Result<()> {
    verb_with(words, &[]).await
}

/// The same; what it starts has more in its environment.
pub async fn verb_with(words: &[&str], env: &[(String, String)]) -> Result<()> {
    let mut script = tokio::process::Command::new(script());
    let env = env.iter().map(|(name, value)| (name, value));
    let output = script.args(words).envs(env).kill_on_drop(true).output();
    let output = output.await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {said}");
    Ok(())
}

/// Runs statements in the HBase shell, which takes some ten seconds; what it printed.
pub fn hbase_shell(statements: &str) -> Result<String> {
    feed(&["shell"], statements)
}

/// Runs one of the stack's verbs with some standard input; what it printed.
pub fn feed(words: &[&str], input: &str) -> Result<String> {
    let mut running = Command::new(script())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} {words:?}", script().display()))?;
    let mut fed = running.stdin.take().context("piped")?;
    fed.write_all(input.as_bytes())?;
    drop(fed);
    let output = running.wait_with_output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {printed}\n{said}");
    Ok(printed)
}
