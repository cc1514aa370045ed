//! Compares the rows of one channel with what the log says, batch by batch.

use std::collections::{BTreeMap, BTreeSet};

use super::expected::Expected;
use super::stored::{self, MessagePages};
use crate::domain::{
    Cells, Change, ChangeKind, ChannelName, FindingKind, Findings, HistoryRow, Id, Message,
};
use crate::ports::{History, PortError};

/// How far a channel was compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub upto: Id,
    /// The number of its last message at or below `upto`; `None` if it was not read yet.
    pub n: Option<u64>,
    /// The number that the row of that message has.
    pub n_of_row: u64,
    /// Whether the log has it as a private channel; `None` if the log doesn't name it.
    pub private: Option<bool>,
}

impl Cursor {
    pub fn at(upto: Id) -> Cursor {
        Cursor {
            upto,
            n: None,
            n_of_row: 0,
            private: None,
        }
    }
}

/// A message whose row can't be judged yet: changes of it follow in the log.
#[derive(Clone, Debug)]
pub(super) struct OpenMessage {
    pub id: Id,
    pub expected: Expected,
    pub kind: OpenKind,
}

#[derive(Clone, Debug)]
pub(super) enum OpenKind {
    /// Its row shows this change.
    Changed(Id),
    /// It has no row. These are the ones that it should have, its changes first.
    Missing(Vec<HistoryRow>),
}

/// What came of a channel's part of a batch.
#[derive(Debug)]
pub(super) struct Outcome {
    pub cursor: Cursor,
    pub findings: Findings,
    pub messages: u64,
    pub changes: u64,
    pub open: Vec<OpenMessage>,
    /// Changes of messages that are not in the batch.
    pub elsewhere: Vec<HistoryRow>,
    /// Rows of changes that are missing.
    pub missing: Vec<HistoryRow>,
}

/// A channel's part of a batch.
pub(super) struct ChannelAudit<'a> {
    pub history: &'a dyn History,
    pub channel: &'a ChannelName,
    pub rows: Vec<HistoryRow>,
    pub cursor: Cursor,
    /// The last id of the batch.
    pub upto: Id,
    /// Rows that show changes above this id are still being changed.
    pub mark: Id,
    pub outcome: Outcome,
}

impl<'a> ChannelAudit<'a> {
    pub fn new(
        history: &'a dyn History,
        channel: &'a ChannelName,
        rows: Vec<HistoryRow>,
        cursor: Cursor,
        (upto, mark): (Id, Id),
    ) -> ChannelAudit<'a> {
        let private = rows.first().map(|row| row.private).or(cursor.private);
        ChannelAudit {
            history,
            channel,
            rows,
            cursor,
            upto,
            mark,
            outcome: Outcome {
                cursor: Cursor {
                    upto,
                    private,
                    ..cursor
                },
                findings: Findings::default(),
                messages: 0,
                changes: 0,
                open: Vec::new(),
                elsewhere: Vec::new(),
                missing: Vec::new(),
            },
        }
    }

    pub async fn run(mut self) -> Result<Outcome, PortError> {
        let mut messages: BTreeMap<Id, Said> = BTreeMap::new();
        let mut changes: BTreeMap<Id, HistoryRow> = BTreeMap::new();
        for row in std::mem::take(&mut self.rows) {
            match &row.cells {
                Cells::Message(message) => {
                    let expected = Expected::original(message.clone());
                    let said = Said {
                        expected,
                        changes: Vec::new(),
                        row,
                    };
                    messages.insert(said.row.id(), said);
                }
                Cells::Change(change) => {
                    match messages.get_mut(&change.target) {
                        Some(said) => {
                            said.expected.apply(change);
                            said.changes.push(row.clone());
                        }
                        None => self.outcome.elsewhere.push(row.clone()),
                    }
                    changes.insert(change.id, row);
                }
                Cells::Member { .. } | Cells::Topic { .. } | Cells::Archived { .. } => {}
            }
        }
        (self.outcome.messages, self.outcome.changes) =
            (messages.len() as u64, changes.len() as u64);
        self.compare_messages(messages).await?;
        self.compare_changes(changes).await?;
        Ok(self.outcome)
    }

    async fn compare_messages(&mut self, said: BTreeMap<Id, Said>) -> Result<(), PortError> {
        if !said.is_empty() && self.cursor.n.is_none() {
            let before = stored::last_number(self.history, self.channel, self.cursor.upto).await;
            let before = match before {
                // Damage below what is compared shows as one wrong number.
                Err(PortError::Broken { .. }) => 0,
                before => before?,
            };
            let cursor = &mut self.outcome.cursor;
            (cursor.n, cursor.n_of_row) = (Some(before), before);
        }
        let ids: BTreeSet<Id> = said.keys().copied().collect();
        let mut pages = MessagePages::new(self.history, self.channel, self.cursor.upto, self.upto);
        let mut expected = said.into_iter().peekable();
        while let Some(page) = pages.next(&ids).await? {
            for (id, row) in page {
                while let Some((_, missing)) = expected.next_if(|(said, _)| *said < id) {
                    self.missing(missing);
                }
                match (expected.next_if(|(said, _)| *said == id), row) {
                    (Some((_, said)), Ok(row)) => self.compare(said, &row),
                    (said, Err(reason)) => {
                        if said.is_some() {
                            self.next_number();
                            self.outcome.cursor.n_of_row += 1;
                        }
                        self.find(FindingKind::RowUnreadable, id, reason);
                    }
                    (None, Ok(_)) => {
                        let what = "the log has no accepted message of this id";
                        self.find(FindingKind::MessageWithoutRecord, id, what);
                    }
                }
            }
        }
        expected.for_each(|(_, missing)| self.missing(missing));
        Ok(())
    }

    fn missing(&mut self, said: Said) {
        let n = self.next_number();
        self.outcome.cursor.n_of_row += 1;
        let id = said.row.id();
        self.find(
            FindingKind::MessageMissing,
            id,
            format!("has no row; it is number {n}"),
        );
        let mut rows = said.changes;
        rows.push(numbered(said.row, n));
        self.outcome.open.push(OpenMessage {
            id,
            expected: said.expected,
            kind: OpenKind::Missing(rows),
        });
    }

    fn compare(&mut self, said: Said, row: &Message) {
        let n = self.next_number();
        // The row before counts, too: where all numbers are shifted from some row on, that row is the finding.
        let cursor = &mut self.outcome.cursor;
        let follows = std::mem::replace(&mut cursor.n_of_row, row.n) + 1;
        if row.n != n && row.n != follows {
            let what = format!("is number {} and should be {n}", row.n);
            self.find(FindingKind::NumberDiffers, row.id, what);
        }
        let differences = match row.changed {
            Some(changed) if changed > self.upto => {
                let differences = said.expected.unchangeable_differences(row);
                if differences.is_empty() && changed <= self.mark {
                    self.outcome.open.push(OpenMessage {
                        id: row.id,
                        expected: said.expected,
                        kind: OpenKind::Changed(changed),
                    });
                    return;
                }
                differences
            }
            _ => said.expected.differences(row),
        };
        let last = said.expected.last_change().map(|change| change.id);
        let findings = &mut self.outcome.findings;
        if judge(findings, self.channel, row, last, &differences) {
            self.outcome.missing.extend(said.changes);
        }
    }

    async fn compare_changes(&mut self, said: BTreeMap<Id, HistoryRow>) -> Result<(), PortError> {
        let mut expected = said.into_iter().peekable();
        let mut after = Some(self.cursor.upto);
        while let Some(from) = after {
            let page = stored::changes(self.history, self.channel, from, self.upto).await;
            let (page, next) = match page {
                Err(error @ PortError::Broken { .. }) => {
                    self.find(FindingKind::RowUnreadable, self.upto, error);
                    return Ok(());
                }
                page => page?,
            };
            for listed in page {
                while let Some((_, missing)) = expected.next_if(|(said, _)| *said < listed.id) {
                    self.unlisted(missing);
                }
                match expected.next_if(|(said, _)| *said == listed.id) {
                    Some((_, row)) => self.compare_change(&row, &listed),
                    None => {
                        let what = "the log has no accepted change of this id";
                        self.find(FindingKind::ChangeWithoutRecord, listed.id, what);
                    }
                }
            }
            after = next;
        }
        expected.for_each(|(_, missing)| self.unlisted(missing));
        Ok(())
    }

    fn unlisted(&mut self, row: HistoryRow) {
        self.find(
            FindingKind::ChangeMissing,
            row.id(),
            "is not listed among the changes",
        );
        self.outcome.missing.push(row);
    }

    fn compare_change(&mut self, row: &HistoryRow, listed: &Change) {
        let Cells::Change(said) = &row.cells else {
            return;
        };
        let is_equal = match (&said.kind, &listed.kind) {
            // The list has no texts.
            (ChangeKind::Edit { .. }, ChangeKind::Edit { .. }) => true,
            (said, listed) => said == listed,
        };
        if !is_equal || said.target != listed.target || said.user != listed.user {
            let what = "the listed change differs in target, user or kind";
            self.find(FindingKind::ChangeDiffers, listed.id, what);
        }
    }

    /// The number of the next message.
    fn next_number(&mut self) -> u64 {
        let n = self.outcome.cursor.n.unwrap_or(0) + 1;
        self.outcome.cursor.n = Some(n);
        n
    }

    fn find(&mut self, kind: FindingKind, id: Id, what: impl std::fmt::Display) {
        self.outcome
            .findings
            .add(kind, place(self.channel, id), what);
    }
}

/// A message of the log, with its changes within the batch.
struct Said {
    expected: Expected,
    changes: Vec<HistoryRow>,
    row: HistoryRow,
}

/// What a finding is about.
pub(super) fn place(channel: &ChannelName, id: Id) -> String {
    format!("channel {channel}, id {id}")
}

/// Adds a finding if there are differences. `last`: the last change that the log has of the message. Returns
/// whether storing the changes again would help: the row doesn't show the last one.
pub(super) fn judge(
    findings: &mut Findings,
    channel: &ChannelName,
    row: &Message,
    last: Option<Id>,
    differences: &[&'static str],
) -> bool {
    let place = place(channel, row.id);
    match last {
        _ if differences.is_empty() => false,
        Some(last) if row.changed < Some(last) => {
            let what = format!("change {last} doesn't show in the message's row");
            findings.add(FindingKind::ChangeMissing, place, what);
            true
        }
        _ => {
            let what = format!("the row differs from the log: {}", differences.join(", "));
            findings.add(FindingKind::MessageDiffers, place, what);
            false
        }
    }
}

fn numbered(row: HistoryRow, n: u64) -> HistoryRow {
    match row.cells {
        Cells::Message(message) => HistoryRow {
            cells: Cells::Message(Message { n, ..message }),
            ..row
        },
        cells => HistoryRow { cells, ..row },
    }
}
