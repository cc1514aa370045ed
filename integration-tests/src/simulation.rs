//! Runs of `lakechat simulate`.

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::server::command;

/// How a run ended.
#[derive(Debug)]
pub struct Simulated {
    pub printed: String,
    output: Output,
    report: Value,
}

impl Simulated {
    /// The report of a run that must have passed.
    pub fn passed(&self) -> &Value {
        assert!(self.output.status.success(), "{self:#?}");
        assert!(self.printed.starts_with("PASSED: "), "{self:#?}");
        assert_eq!(self.report["passed"], true);
        println!("{}", self.printed);
        &self.report
    }

    /// The report of a run that must have found something.
    pub fn failed(&self) -> &Value {
        assert_eq!(self.output.status.code(), Some(1), "{self:#?}");
        assert!(self.printed.starts_with("FAILED: "), "{self:#?}");
        assert_eq!(self.report["passed"], false);
        &self.report
    }
}

/// Runs a simulation at some servers until it ends by itself.
pub async fn simulate(urls: &[&str], args: &[&str]) -> Simulated {
    simulate_beside(urls, args, async |_| ()).await
}

/// The same, while something else happens that may need the number of its process.
pub async fn simulate_beside(
    urls: &[&str],
    args: &[&str],
    beside: impl AsyncFnOnce(u32),
) -> Simulated {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("report.json");
    let html = folder.path().join("report.html");
    let mut command = command(&["simulate"]);
    command.args(urls).args(args);
    command.arg("--json").arg(&json).arg("--html").arg(&html);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary runs");
    let id = child.id().expect("it runs");
    let (output, ()) = tokio::join!(child.wait_with_output(), beside(id));
    let output = output.expect("it ends");
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = serde_json::from_str(&read(&json));
    let report = report.unwrap_or_else(|_| panic!("no report: {output:?}"));
    assert!(read(&html).contains("<svg"), "{output:?}");
    Simulated {
        printed,
        output,
        report,
    }
}
