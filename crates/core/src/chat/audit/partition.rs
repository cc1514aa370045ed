//! The comparison of one partition.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::ComparedPartition;
use super::channel::{ChannelAudit, Cursor, OpenKind, OpenMessage, Outcome, judge, place};
use super::log_pass::{Batch, Begin};
use super::open::{OpenMessages, by_target};
use super::stored;
use crate::domain::{ChannelName, FindingKind, Findings, HistoryRow, Id, Message, Partition};
use crate::ports::history::Mark;
use crate::ports::{History, PortError};

/// Reads of history that are under way at a time.
pub(super) const PARALLEL: usize = 8;

/// Rows of missing changes that are kept for a repair.
const MAX_MISSING: usize = 100_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub records: u64,
    pub messages: u64,
    pub changes: u64,
}

pub(super) struct PartitionAudit {
    partition: Partition,
    pub mark: Mark,
    begin: Option<Begin>,
    pub cursors: HashMap<ChannelName, Cursor>,
    pub counts: Counts,
    pub findings: Findings,
    /// Rows of changes that are missing.
    pub missing: Vec<HistoryRow>,
    pub is_over: bool,
    skipped: Option<String>,
}

impl PartitionAudit {
    pub fn new(partition: Partition, mark: Mark) -> PartitionAudit {
        PartitionAudit {
            partition,
            mark,
            begin: None,
            cursors: HashMap::new(),
            counts: Counts::default(),
            findings: Findings::default(),
            missing: Vec::new(),
            is_over: false,
            skipped: None,
        }
    }

    /// Whether something was compared, with a log that is that of history.
    pub fn is_compared(&self) -> bool {
        self.begin.is_some() && self.skipped.is_none()
    }

    /// The last id that isn't compared, because it is older.
    pub fn above(&self) -> Id {
        match self.begin {
            Some(begin) if self.is_compared() => begin.above,
            _ => self.mark.id,
        }
    }

    pub fn compared(&self) -> ComparedPartition {
        let begin = self.begin.filter(|_| self.is_compared());
        ComparedPartition {
            partition: self.partition,
            from: begin.map(|begin| (begin.offset, begin.append_ms)),
            to: self.mark.offset,
            skipped: self.skipped.clone(),
        }
    }

    /// Compares a batch of the log with history.
    pub async fn take(
        &mut self,
        history: &dyn History,
        batch: Batch,
        open: &mut OpenMessages,
    ) -> Result<(), PortError> {
        self.begin = self.begin.or(batch.begins);
        self.counts.records += batch.records;
        let upto = batch.upto.min(self.mark.id);
        let changes = self.compare(history, batch.rows, upto, open).await?;
        let elsewhere = changes.into_iter().filter(|row| !open.apply(row)).collect();
        self.judge_elsewhere(history, elsewhere, open).await?;
        let due = open.take_due(self.partition, upto);
        self.judge_due(history, due, open).await?;
        if batch.is_last {
            self.is_over = true;
            self.verify(batch.upto);
        }
        Ok(())
    }

    /// Compares the rows of each channel; returns the changes of messages that aren't in the batch.
    async fn compare(
        &mut self,
        history: &dyn History,
        rows: Vec<HistoryRow>,
        upto: Id,
        open: &mut OpenMessages,
    ) -> Result<Vec<HistoryRow>, PortError> {
        let Some(begin) = self.begin else {
            return Ok(Vec::new());
        };
        let mut channels: BTreeMap<ChannelName, Vec<HistoryRow>> = BTreeMap::new();
        for row in rows {
            channels.entry(row.channel.clone()).or_default().push(row);
        }
        let bounds = (upto, self.mark.id);
        let cursors = &self.cursors;
        let audits = channels.into_iter().map(|(channel, rows)| async move {
            let cursor = cursors.get(&channel).copied();
            let cursor = cursor.unwrap_or(Cursor::at(begin.above));
            let outcome = ChannelAudit::new(history, &channel, rows, cursor, bounds)
                .run()
                .await?;
            Ok((channel, outcome))
        });
        let outcomes: Vec<(ChannelName, Outcome)> = stream::iter(audits)
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        let mut elsewhere = Vec::new();
        for (channel, outcome) in outcomes {
            self.counts.messages += outcome.messages;
            self.counts.changes += outcome.changes;
            self.findings.append(outcome.findings);
            self.keep_missing(outcome.missing);
            elsewhere.extend(outcome.elsewhere);
            for message in outcome.open {
                open.add(self.partition, channel.clone(), message);
            }
            self.cursors.insert(channel, outcome.cursor);
        }
        Ok(elsewhere)
    }

    /// Judges changes of messages that are neither in the batch nor open: older ones, and such whose rows
    /// should have shown these changes when they were compared.
    async fn judge_elsewhere(
        &mut self,
        history: &dyn History,
        changes: Vec<HistoryRow>,
        open: &mut OpenMessages,
    ) -> Result<(), PortError> {
        let targets = by_target(changes).into_iter();
        let reads = targets.map(|((channel, id), said)| async move {
            let row = read(history, &channel, id).await?;
            Ok::<_, PortError>((channel, id, said, row))
        });
        let read: Vec<_> = stream::iter(reads).buffered(PARALLEL).try_collect().await?;
        let above = self.above();
        for (channel, id, (expected, rows), row) in read {
            // Without a row: a change of a message that never was. The missing ones are open.
            let Some(row) = row else { continue };
            let Some(last) = expected.last_change().map(|change| change.id) else {
                continue;
            };
            if row.changed < Some(last) {
                let differences = ["changed"];
                if judge(&mut self.findings, &channel, &row, Some(last), &differences) {
                    self.keep_missing(rows);
                }
            } else if id <= above && row.changed <= Some(self.mark.id) {
                let by = row.changed.unwrap_or(last);
                let kind = OpenKind::Changed(by);
                open.add(self.partition, channel, OpenMessage { id, expected, kind });
            }
        }
        Ok(())
    }

    /// Judges messages of which the log was folded up to the change that their rows showed.
    async fn judge_due(
        &mut self,
        history: &dyn History,
        due: Vec<(ChannelName, OpenMessage)>,
        open: &mut OpenMessages,
    ) -> Result<(), PortError> {
        let reads = due.into_iter().map(|(channel, message)| async move {
            let row = read(history, &channel, message.id).await?;
            Ok::<_, PortError>((channel, message, row))
        });
        let read: Vec<_> = stream::iter(reads).buffered(PARALLEL).try_collect().await?;
        for (channel, message, row) in read {
            let OpenKind::Changed(by) = message.kind else {
                continue;
            };
            match row {
                None => {
                    let place = place(&channel, message.id);
                    let what = "has no row any more";
                    self.findings.add(FindingKind::MessageMissing, place, what);
                }
                Some(row) if row.changed > Some(self.mark.id) => {}
                Some(row) if row.changed > Some(by) => {
                    let kind = OpenKind::Changed(row.changed.unwrap_or(by));
                    open.add(self.partition, channel, OpenMessage { kind, ..message });
                }
                Some(row) => {
                    let differences = message.expected.differences(&row);
                    let last = message.expected.last_change().map(|change| change.id);
                    judge(&mut self.findings, &channel, &row, last, &differences);
                }
            }
        }
        Ok(())
    }

    fn keep_missing(&mut self, rows: Vec<HistoryRow>) {
        let room = MAX_MISSING.saturating_sub(self.missing.len());
        self.missing.extend(rows.into_iter().take(room));
    }

    /// Checks that the fold has minted the mark's id at the mark. If not, nothing that was compared counts.
    fn verify(&mut self, minted: Id) {
        let Some(begin) = self.begin else { return };
        if minted == self.mark.id || self.mark.id == Id::ZERO {
            return;
        }
        self.findings = Findings::default();
        self.counts = Counts::default();
        let what = format!(
            "history was written up to offset {} from a log in which the id there is {}, and in this \
             one it is {minted}",
            self.mark.offset, self.mark.id
        );
        // Otherwise the clock of the ids may have been ahead of all records that are left.
        if begin.is_whole {
            let place = format!("partition {}", self.partition);
            self.findings.add(FindingKind::LogDiffers, place, &what);
        }
        self.skipped = Some(what);
    }
}

/// A row that can't be read counts as one that isn't there: its own comparison has named it.
async fn read(
    history: &dyn History,
    channel: &ChannelName,
    id: Id,
) -> Result<Option<Message>, PortError> {
    match stored::message(history, channel, id).await {
        Err(PortError::Broken { .. }) => Ok(None),
        read => read,
    }
}
