//! What is left when the log was read: rows that it says nothing about.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Audit;
use super::channel::{ChannelAudit, Cursor, place};
use super::partition::PARALLEL;
use super::stored::{self, MessagePages};
use crate::chat::log::partition;
use crate::domain::{ChannelName, FindingKind, Findings, Id};
use crate::ports::history::ChannelRows;
use crate::ports::{History, PortError};

/// Where a channel's rows are checked through.
struct Rest {
    rows: ChannelRows,
    /// How far it was compared; `None` if its partition wasn't.
    cursor: Option<Cursor>,
    mark: Id,
    /// Up to where its rows are older than what was compared, if they are to be read.
    older: Option<Id>,
}

struct RestCheck {
    findings: Findings,
    older_rows: u64,
}

impl Audit<'_> {
    /// Looks for rows without a record in all channels that have rows: behind the last record that the log
    /// has of the channel, or in the whole range that was compared.
    pub(super) async fn look_through_channels(&mut self) -> Result<(), PortError> {
        let mut last: Option<ChannelRows> = None;
        loop {
            let channels = stored::channels(self.history, last.as_ref()).await?;
            let Some(next) = channels.last().cloned() else {
                return Ok(());
            };
            self.progress.channels += channels.len() as u64;
            let history = self.history;
            let rests: Vec<_> = channels.into_iter().map(|rows| self.rest(rows)).collect();
            let checks = rests.into_iter().map(|rest| rest.check(history));
            let checked: Vec<RestCheck> = stream::iter(checks)
                .buffered(PARALLEL)
                .try_collect()
                .await?;
            for RestCheck {
                findings,
                older_rows,
            } in checked
            {
                self.report.findings.append(findings);
                self.report.older_rows += older_rows;
            }
            (self.tell)(self.progress);
            last = Some(next);
        }
    }

    fn rest(&self, rows: ChannelRows) -> Rest {
        let partition = partition::of(&rows.channel, self.count);
        let state = self.partitions.get(&partition).expect("each has its state");
        let above = state.above();
        let cursor = || {
            let cursor = state.cursors.get(&rows.channel).copied();
            cursor.unwrap_or(Cursor::at(above))
        };
        Rest {
            cursor: state.is_compared().then(cursor),
            mark: state.mark.id,
            older: self.options.older.then_some(above),
            rows,
        }
    }
}

impl Rest {
    async fn check(self, history: &dyn History) -> Result<RestCheck, PortError> {
        let Rest {
            rows: ChannelRows { channel, private },
            cursor,
            mark,
            older,
        } = self;
        let mut findings = Findings::default();
        if let Some(cursor) = cursor {
            if cursor.private.is_some_and(|of_log| of_log != private) {
                let kind = if private { "private" } else { "public" };
                let what = format!("has rows of messages that are stored as {kind} ones");
                findings.add(FindingKind::WrongTable, format!("channel {channel}"), what);
            }
            let bounds = (mark, mark);
            let audit = ChannelAudit::new(history, &channel, Vec::new(), cursor, bounds);
            findings.append(audit.run().await?.findings);
        }
        let older_rows = match older {
            Some(upto) => look_at_numbers(history, &channel, upto, &mut findings).await?,
            None => 0,
        };
        Ok(RestCheck {
            findings,
            older_rows,
        })
    }
}

/// Reads a channel's rows up to an id, which have to be numbered 1, 2, 3, … Returns how many there are.
async fn look_at_numbers(
    history: &dyn History,
    channel: &ChannelName,
    upto: Id,
    findings: &mut Findings,
) -> Result<u64, PortError> {
    let (mut count, mut last) = (0, 0);
    let mut pages = MessagePages::new(history, channel, Id::ZERO, upto);
    while let Some(page) = pages.next(&BTreeSet::new()).await? {
        for (id, row) in page {
            match row {
                Ok(row) => {
                    if row.n != last + 1 {
                        let what = format!("is number {} and follows number {last}", row.n);
                        findings.add(FindingKind::NumberDiffers, place(channel, id), what);
                    }
                    (count, last) = (count + 1, row.n);
                }
                Err(reason) => findings.add(FindingKind::RowUnreadable, place(channel, id), reason),
            }
        }
    }
    Ok(count)
}
