//! Folds the log again and compares what comes of it with the rows of history.
//!
//! The fold is the server's own; the rows are compared with what it says, and not written. So an audit finds
//! what the archiver, the store or anybody else has done to rows, and not a fault of the fold itself.
//!
//! Memory is bounded, however long the log is. A thread ([`log_pass`]) reads all partitions once, from where
//! [`plan`] says to the marks, and hands over rows in batches. For each batch the rows of each channel are
//! read in the batch's range of ids ([`channel`]). A message whose row shows a change that is further on in
//! the log is kept ([`open`]) until the fold is there. What an audit holds for each channel is a cursor.
//!
//! Servers may run meanwhile: everything at or below the marks of the beginning is stored, and what is
//! changed later shows ids above them.

mod channel;
mod expected;
mod log_pass;
mod open;
mod partition;
mod plan;
mod rest;
mod stored;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use self::log_pass::{Batch, LogPass};
use self::open::OpenMessages;
use self::partition::PartitionAudit;
use crate::domain::{Cells, ChannelName, Findings, HistoryRow, Id, Partition};
use crate::ports::broker::Offset;
use crate::ports::retry::with_retries;
use crate::ports::{Broker, History, PortError};

pub use self::plan::LogOrigin;

/// Batches that the reading thread is ahead. It waits while there are as many.
const AHEAD: usize = 1;

/// How often an audit begins again because records that it was about to read were deleted.
const TRIES: usize = 3;

/// What is compared.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// By partition; empty: each begins at offset 0.
    pub origins: Vec<LogOrigin>,
    /// Only what was appended at this time or later, ms since 1970.
    pub since_ms: Option<u64>,
    /// Whether to read rows that are older than what is compared, too: they have to be numbered without a
    /// gap.
    pub older: bool,
    /// Whether to store missing rows.
    pub repair: bool,
    /// Rows of all partitions that are gathered before they are compared: the more there are, the more rows of a
    /// channel take one read of history.
    pub batch_rows: usize,
}

impl Default for AuditOptions {
    fn default() -> AuditOptions {
        AuditOptions {
            origins: Vec::new(),
            since_ms: None,
            older: false,
            repair: false,
            batch_rows: 20_000,
        }
    }
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditProgress {
    /// Offsets that were read, in all partitions, and the records of which were compared.
    pub offsets: u64,
    /// What `offsets` will be when the whole log was read.
    pub offsets_total: u64,
    /// Channels that were looked through for rows without a record.
    pub channels: u64,
}

/// What an audit has compared and found.
#[derive(Clone, Debug, Default)]
pub struct AuditReport {
    pub records: u64,
    pub messages: u64,
    pub changes: u64,
    pub channels: u64,
    /// Rows older than what was compared that were read.
    pub older_rows: u64,
    /// Messages whose changes could not be judged: there were too many to keep.
    pub unjudged: u64,
    /// Rows that were missing and are stored again.
    pub repaired: u64,
    /// Messages whose rows were stored again and still can't be read.
    pub unrepaired: u64,
    pub partitions: Vec<ComparedPartition>,
    pub findings: Findings,
}

/// The part of a partition's log that was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedPartition {
    pub partition: Partition,
    /// Offset and append time of the first record that was compared; `None` if there was none.
    pub from: Option<(Offset, u64)>,
    /// The offset of the mark: one past the last record that was compared.
    pub to: Offset,
    /// Why nothing was compared, if something was to be.
    pub skipped: Option<String>,
}

/// Compares history with the log. Dropping the future is safe; a repair then happens in part.
pub async fn audit(
    broker: Arc<dyn Broker>,
    history: &dyn History,
    options: &AuditOptions,
    progress: &(dyn Fn(AuditProgress) + Sync),
) -> Result<AuditReport, PortError> {
    for _ in 1..TRIES {
        let done = Audit::run(broker.clone(), history, options, progress).await;
        match done {
            // The log was trimmed meanwhile: it begins elsewhere.
            Err(PortError::Stops { .. }) => {}
            done => return done,
        }
    }
    Audit::run(broker, history, options, progress).await
}

struct Audit<'a> {
    history: &'a dyn History,
    options: &'a AuditOptions,
    /// The log's partitions.
    count: u16,
    partitions: BTreeMap<Partition, PartitionAudit>,
    open: OpenMessages,
    /// By partition, the offset below which it was compared.
    reached: BTreeMap<Partition, Offset>,
    report: AuditReport,
    progress: AuditProgress,
    tell: &'a (dyn Fn(AuditProgress) + Sync),
}

impl<'a> Audit<'a> {
    async fn run(
        broker: Arc<dyn Broker>,
        history: &'a dyn History,
        options: &'a AuditOptions,
        tell: &'a (dyn Fn(AuditProgress) + Sync),
    ) -> Result<AuditReport, PortError> {
        let mut report = AuditReport::default();
        let plan = plan::plan(broker.as_ref(), history, options, &mut report.findings).await?;
        let lengths = plan.partitions.iter().map(|p| p.mark.offset - p.start);
        let starts = plan.partitions.iter().map(|p| (p.partition, p.start));
        let reached = starts.collect();
        let marks = (0..).map(Partition).zip(&plan.marks);
        let mut audit = Audit {
            history,
            options,
            count: broker.partitions(),
            partitions: marks
                .map(|(p, mark)| (p, PartitionAudit::new(p, *mark)))
                .collect(),
            open: OpenMessages::default(),
            reached,
            report,
            progress: AuditProgress {
                offsets_total: lengths.sum(),
                ..AuditProgress::default()
            },
            tell,
        };
        let (batches, mut received) = mpsc::channel(AHEAD);
        let pass = LogPass {
            broker,
            plans: plan.partitions,
            batch_rows: options.batch_rows,
            batches,
        };
        let reading = tokio::task::spawn_blocking(move || pass.run());
        while let Some(batches) = received.recv().await {
            for batch in batches? {
                audit.take(batch).await?;
            }
        }
        reading
            .await
            .map_err(|panic| PortError::broken("audit", panic))?;
        audit.look_through_channels().await?;
        Ok(audit.finish())
    }

    async fn take(&mut self, batch: Batch) -> Result<(), PortError> {
        let (partition, reached) = (batch.partition, batch.reached);
        let state = self
            .partitions
            .get_mut(&partition)
            .expect("each has its state");
        state.take(self.history, batch, &mut self.open).await?;
        if state.is_over {
            let missing = self.open.take_missing(partition);
            if self.options.repair && state.is_compared() {
                let rows = std::mem::take(&mut state.missing);
                self.repair(rows, missing).await?;
            }
        }
        let before = self.reached.insert(partition, reached).unwrap_or(reached);
        self.progress.offsets += reached.saturating_sub(before);
        (self.tell)(self.progress);
        Ok(())
    }

    fn finish(mut self) -> AuditReport {
        let mut report = self.report;
        report.unjudged = self.open.dropped;
        report.channels = self.progress.channels;
        for (_, state) in std::mem::take(&mut self.partitions) {
            let counts = state.counts;
            report.records += counts.records;
            report.messages += counts.messages;
            report.changes += counts.changes;
            report.partitions.push(state.compared());
            report.findings.append(state.findings);
        }
        report
    }

    /// Stores rows as the archiver would: with the versions of their own ids, so that they don't replace
    /// what later changes have left. Changes go first: a message isn't visible before its own row.
    async fn repair(
        &mut self,
        changes: Vec<HistoryRow>,
        messages: Vec<(ChannelName, Id, Vec<HistoryRow>)>,
    ) -> Result<(), PortError> {
        let is_change = |row: &HistoryRow| matches!(row.cells, Cells::Change(_));
        let of_messages = messages
            .iter()
            .flat_map(|(_, _, rows)| rows.iter().cloned());
        let (mut first, then): (Vec<_>, Vec<_>) = of_messages.partition(is_change);
        let changed = changes.len() as u64;
        first.extend(changes);
        with_retries(|| self.history.append(first.clone())).await?;
        with_retries(|| self.history.append(then.clone())).await?;
        self.report.repaired += changed;
        for (channel, id, _) in messages {
            match stored::message(self.history, &channel, id).await? {
                Some(_) => self.report.repaired += 1,
                None => self.report.unrepaired += 1,
            }
        }
        Ok(())
    }
}
