//! Runs of `lakechat simulate`.

use std::io;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::server::command;

/// The files of its report.
const JSON: &str = "report.json";
const HTML: &str = "report.html";

/// How a run ended.
#[derive(Debug)]
pub struct Simulated {
    pub printed: String,
    output: Output,
    report: Value,
}

impl Simulated {
    /// The report, whatever it says.
    pub fn report(&self) -> &Value {
        &self.report
    }

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

/// A run that has begun.
pub struct Simulation {
    id: u32,
    folder: TempDir,
    /// Dropping it kills the run.
    ending: JoinHandle<io::Result<Output>>,
}

impl Simulation {
    pub fn begin(urls: &[&str], args: &[&str]) -> Simulation {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = command(&["simulate"]);
        command.args(urls).args(args);
        command.arg("--json").arg(folder.path().join(JSON));
        command.arg("--html").arg(folder.path().join(HTML));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the binary runs");
        Simulation {
            id: child.id().expect("it runs"),
            folder,
            ending: tokio::spawn(child.wait_with_output()),
        }
    }

    /// As Ctrl-C: nobody talks any more, and the run ends when all has arrived.
    pub fn interrupt(&self) {
        let pid = Pid::from_raw(self.id.cast_signed()).expect("a process");
        kill_process(pid, Signal::INT).expect("ours");
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Simulated {
        let output = (&mut self.ending).await.expect("no panic");
        let output = output.expect("it ends");
        let read = |name| std::fs::read_to_string(self.folder.path().join(name));
        let report = serde_json::from_str(&read(JSON).unwrap_or_default());
        let report = report.unwrap_or_else(|_| panic!("no report: {output:?}"));
        let page = read(HTML).unwrap_or_default();
        assert!(page.contains("<svg"), "{output:?}");
        Simulated {
            printed: String::from_utf8_lossy(&output.stdout).into_owned(),
            output,
            report,
        }
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.ending.abort();
    }
}

/// Runs a simulation at some servers until it ends by itself.
pub async fn simulate(urls: &[&str], args: &[&str]) -> Simulated {
    Simulation::begin(urls, args).ended().await
}
