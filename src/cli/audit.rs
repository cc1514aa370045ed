//! `lakechat audit`: compares what is stored with the log.

mod report;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use self::report::Report;
use super::moment;
use crate::app::existing::Existing;
use crate::config::{Config, Flags};
use lakechat_core::chat::{AuditOptions, AuditProgress, audit};
use lakechat_core::files::{FilesReport, audit_files};

/// Compare what is stored with the log
///
/// Folds the log again, from its first record that is kept, and compares messages and their
/// changes with history: each accepted one needs a row with the same id, text and number, and each
/// row needs a record. Compares the rows of files with their bytes, both ways. Servers may be
/// running: what arrives after the start of the audit is not compared.
///
///   lakechat audit --config lakechat.toml            everything that the log still holds
///   lakechat audit --since 24h --json report.json    every night, the last day
///   lakechat audit --older                           older rows, too: their numbers have no gap
///   lakechat audit --repair                          store missing rows again
///
/// Exit codes: 0: no difference, or all were repaired; 1: a difference, whose first is named in
/// the last line, or a back end can't be read; 64: invalid configuration. Each kind of difference
/// is described in docs/operating.md.
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct AuditArgs {
    #[command(flatten)]
    pub flags: Flags,
    /// Compare only records that were appended since then: a duration such as 30m, 24h or 7d, or a time
    /// such as 2026-11-28T12:00:00Z. All rows of files are compared anyway
    #[arg(long, value_name = "DURATION|TIME", value_parser = moment::since)]
    since: Option<u64>,
    /// Also read rows that are older than the log: they have to be numbered 1, 2, 3, … in each channel.
    /// Scans all messages
    #[arg(long)]
    older: bool,
    /// Store missing rows of messages and changes again, as the archiver would have. Nothing else is
    /// changed. The server of a data folder has to be stopped
    #[arg(long)]
    repair: bool,
    /// Compare only this
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Write the report to a file, too, as one JSON object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Messages,
    Files,
}

/// Prints the report; an error if there is a difference that was not repaired.
pub async fn run(args: &AuditArgs, config: &Config) -> Result<()> {
    let existing = Existing::open(config, args.repair).await?;
    let began = Instant::now();
    let bar = ProgressBar::new_spinner().with_style(spinner());
    bar.enable_steady_tick(Duration::from_millis(100));
    let compared = compare(args, &existing, &bar).await;
    bar.finish_and_clear();
    let closed = existing.close().await;
    let report = Report {
        took: began.elapsed(),
        ..compared?
    };
    closed?;
    print!("{report}");
    if let Some(file) = &args.json {
        let json = serde_json::to_vec_pretty(&report.json())?;
        fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    match report.unrepaired() {
        None => Ok(()),
        Some(first) => bail!("{}; the first: {first}", report.verdict()),
    }
}

async fn compare(args: &AuditArgs, existing: &Existing, bar: &ProgressBar) -> Result<Report> {
    let mut report = Report::default();
    if args.only != Some(Part::Files) {
        let options = AuditOptions {
            origins: existing.origins.clone(),
            since_ms: args.since,
            older: args.older,
            repair: args.repair,
            ..AuditOptions::default()
        };
        let show = |progress| show(bar, progress);
        let history = existing.history.as_ref();
        let audited = audit(existing.broker.clone(), history, &options, &show).await;
        report.messages = Some(audited?);
    }
    if args.only != Some(Part::Messages) {
        bar.set_style(spinner());
        let (rows, uploads) = (&*existing.file_rows, &*existing.upload_rows);
        let store = &*existing.files;
        let show = |files: &FilesReport| {
            let FilesReport { rows, stored, .. } = files;
            bar.set_message(format!("files: {rows} rows, {stored} in the store"));
        };
        report.files = Some(audit_files(rows, uploads, store, &show).await?);
    }
    Ok(report)
}

fn show(bar: &ProgressBar, progress: AuditProgress) {
    if progress.channels > 0 {
        bar.set_style(spinner());
        bar.set_message(format!("channels: {}", progress.channels));
        return;
    }
    if bar.length() != Some(progress.offsets_total) {
        let template = "log: {bar:40} {percent} %, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
        bar.set_length(progress.offsets_total);
    }
    bar.set_position(progress.offsets);
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid")
}
