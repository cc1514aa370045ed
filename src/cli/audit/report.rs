//! What an audit has compared and found, for people and as JSON.

use std::fmt;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration};
use serde_json::{Value, json};

use crate::cli::moment::rfc3339;
use lakechat_core::chat::{AuditReport, ComparedPartition};
use lakechat_core::domain::{Finding, FindingKind, Findings};
use lakechat_core::files::FilesReport;

/// Findings of a kind that are printed; the JSON has more.
const SHOWN: usize = 5;

#[derive(Default)]
pub struct Report {
    pub messages: Option<AuditReport>,
    pub files: Option<FilesReport>,
    pub took: Duration,
}

impl Report {
    fn findings(&self) -> impl Iterator<Item = &Findings> {
        let messages = self.messages.iter().map(|report| &report.findings);
        messages.chain(self.files.iter().map(|report| &report.findings))
    }

    fn by_kind(&self) -> impl Iterator<Item = (FindingKind, u64, &[Finding])> {
        self.findings().flat_map(Findings::by_kind)
    }

    /// How many differences there are.
    pub fn count(&self) -> u64 {
        self.findings().map(Findings::count).sum()
    }

    /// How many there are, in words.
    pub fn verdict(&self) -> String {
        match self.count() {
            0 => "no difference".to_owned(),
            1 => "1 difference".to_owned(),
            count => format!("{} differences", HumanCount(count)),
        }
    }

    /// The first difference, unless all were repaired.
    pub fn unrepaired(&self) -> Option<&Finding> {
        let is_repaired = self.messages.as_ref().is_some_and(|report| {
            report.repaired > 0 && report.unrepaired == 0 && report.unjudged == 0
        });
        if is_repaired && self.by_kind().all(|(kind, ..)| kind.is_missing_row()) {
            return None;
        }
        self.findings().find_map(Findings::first)
    }

    pub fn json(&self) -> Value {
        let partition = |part: &ComparedPartition| {
            json!({
                "partition": part.partition.0,
                "from_offset": part.from.map(|(offset, _)| offset),
                "from_time": part.from.map(|(_, append_ms)| append_ms),
                "to_offset": part.to,
                "skipped": part.skipped,
            })
        };
        let messages = self.messages.as_ref().map(|report| {
            json!({
                "records": report.records,
                "messages": report.messages,
                "changes": report.changes,
                "channels": report.channels,
                "older_rows": report.older_rows,
                "unjudged": report.unjudged,
                "repaired": report.repaired,
                "unrepaired": report.unrepaired,
                "partitions": report.partitions.iter().map(partition).collect::<Vec<_>>(),
            })
        });
        let files = self.files.as_ref().map(
            |report| json!({ "rows": report.rows, "bytes": report.bytes, "stored": report.stored }),
        );
        let kind = |(kind, count, kept): (FindingKind, u64, &[Finding])| {
            let examples = kept
                .iter()
                .map(|f| json!({ "place": f.place, "what": f.what }));
            let examples: Vec<_> = examples.collect();
            (
                kind.as_str().to_owned(),
                json!({ "count": count, "examples": examples }),
            )
        };
        let first = self.findings().find_map(Findings::first);
        json!({
            "differences": self.count(),
            "first": first.map(ToString::to_string),
            "kinds": self.by_kind().map(kind).collect::<serde_json::Map<_, _>>(),
            "messages": messages,
            "files": files,
            "duration_ms": self.took.as_millis() as u64,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(messages) = &self.messages {
            write_messages(f, messages)?;
        }
        if let Some(files) = &self.files {
            writeln!(
                f,
                "files: {} rows of {}, {} in the store",
                HumanCount(files.rows),
                HumanBytes(files.bytes),
                HumanCount(files.stored),
            )?;
        }
        for (kind, count, kept) in self.by_kind() {
            writeln!(f, "{}: {}", kind.as_str(), HumanCount(count))?;
            for finding in kept.iter().take(SHOWN) {
                writeln!(f, "  {}: {}", finding.place, finding.what)?;
            }
            if count > SHOWN as u64 {
                writeln!(f, "  …")?;
            }
        }
        writeln!(f, "{}, after {}", self.verdict(), HumanDuration(self.took))
    }
}

fn write_messages(f: &mut fmt::Formatter<'_>, report: &AuditReport) -> fmt::Result {
    writeln!(
        f,
        "messages: {} and {} changes, from {} records; {} channels",
        HumanCount(report.messages),
        HumanCount(report.changes),
        HumanCount(report.records),
        HumanCount(report.channels),
    )?;
    let compared = report.partitions.iter().filter_map(|part| part.from);
    match compared.map(|(_, append_ms)| append_ms).min() {
        Some(append_ms) => writeln!(f, "compared: from {} on", rfc3339(append_ms))?,
        None => writeln!(f, "compared: nothing; the log holds no archived record")?,
    }
    for part in &report.partitions {
        if let Some(reason) = &part.skipped {
            writeln!(f, "partition {}: not compared: {reason}", part.partition)?;
        }
    }
    if report.older_rows > 0 {
        writeln!(f, "older rows: {}", HumanCount(report.older_rows))?;
    }
    if report.unjudged > 0 {
        writeln!(
            f,
            "not judged: {} changed messages",
            HumanCount(report.unjudged)
        )?;
    }
    if report.repaired > 0 {
        writeln!(f, "repaired: {} rows", HumanCount(report.repaired))?;
    }
    if report.unrepaired > 0 {
        writeln!(
            f,
            "not repaired: {} rows were stored and can't be read: HBase still has a deletion of them. Flush \
             the table, run major_compact on it, and repair again",
            HumanCount(report.unrepaired)
        )?;
    }
    Ok(())
}
