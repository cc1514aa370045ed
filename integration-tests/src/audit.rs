//! `lakechat audit`, run as an operator would.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::server::command;
use crate::within;

/// What an audit has found.
#[derive(Debug)]
pub struct Audited {
    /// The exit code.
    pub code: i32,
    /// The JSON report.
    pub report: Value,
    /// What it printed, on standard output and then on standard error.
    pub told: String,
}

/// Audits a data folder. `env`: more of the environment.
pub async fn folder(data: &Path, args: &[&str], env: &[(String, String)]) -> Result<Audited> {
    let data = data.to_str().context("UTF-8")?;
    run(&[&["--data-dir", data], args].concat(), env).await
}

/// Audits what the servers of a cluster have stored.
pub async fn cluster(cluster: &Cluster, args: &[&str]) -> Result<Audited> {
    run(args, &cluster.env()).await
}

async fn run(args: &[&str], env: &[(String, String)]) -> Result<Audited> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let json = file.to_str().context("UTF-8")?;
    let mut audit = command(&[&["audit", "--json", json], args].concat());
    let envs = env.iter().map(|(name, value)| (name, value));
    let output = within(audit.envs(envs).output()).await?;
    let told = String::from_utf8([output.stdout, output.stderr].concat())?;
    let report = std::fs::read(&file).with_context(|| told.clone())?;
    Ok(Audited {
        code: output.status.code().context("it ends by itself")?,
        report: serde_json::from_slice(&report)?,
        told,
    })
}

impl Audited {
    /// It found no difference, in at least so many messages.
    pub fn is_clean(&self, messages: u64) -> Result<()> {
        ensure!(
            self.code == 0 && self.report["differences"] == 0,
            "{self:#?}"
        );
        ensure!(self.told.contains("no difference"), "{self:#?}");
        let compared = self.report["messages"]["messages"].as_u64();
        ensure!(compared >= Some(messages), "{self:#?}");
        Ok(())
    }

    /// It found differences of this kind only, and its last line names one with some words in it.
    pub fn found(&self, kind: &str, count: u64, words: &str) -> Result<()> {
        let kinds = self.report["kinds"].as_object().context("kinds")?;
        ensure!(kinds.keys().eq([kind]), "not only {kind}: {self:#?}");
        ensure!(
            self.report["kinds"][kind]["count"] == count,
            "not {count}: {self:#?}"
        );
        let last = self.told.lines().last().context("a line")?;
        ensure!(self.code == 1 && last.contains("the first: "), "{self:#?}");
        ensure!(
            last.contains(kind) && last.contains(words),
            "no {words}: {self:#?}"
        );
        Ok(())
    }

    /// It found something, and repaired all of it.
    pub fn repaired(&self) -> Result<()> {
        let repaired = self.report["messages"]["repaired"].as_u64();
        ensure!(self.code == 0 && repaired > Some(0), "{self:#?}");
        Ok(())
    }
}
