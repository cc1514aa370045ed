//! Reads of history that try again while it is unavailable, and go on past a row that can't be read.

use std::collections::BTreeSet;

use crate::domain::{Change, ChannelName, Id, Message};
use crate::ports::history::{ChannelRows, MessageRange};
use crate::ports::retry::with_retries;
use crate::ports::{History, PortError};

/// Rows that are read at a time.
const PAGE: usize = 1_000;

/// Channels that are listed at a time.
const CHANNELS: usize = 50;

/// A row, or why it can't be read.
pub(super) type Read<T> = Result<T, String>;

/// The messages with `after < id <= upto`, page by page. If a row of a page can't be read, only the
/// `expected` ones are, one by one.
pub(super) struct MessagePages<'a> {
    history: &'a dyn History,
    channel: &'a ChannelName,
    after: Id,
    upto: Id,
    is_over: bool,
}

impl<'a> MessagePages<'a> {
    pub fn new(history: &'a dyn History, channel: &'a ChannelName, after: Id, upto: Id) -> Self {
        MessagePages {
            history,
            channel,
            after,
            upto,
            is_over: after >= upto,
        }
    }

    /// The next page; `None` behind the last one.
    pub async fn next(
        &mut self,
        expected: &BTreeSet<Id>,
    ) -> Result<Option<Vec<(Id, Read<Message>)>>, PortError> {
        if self.is_over {
            return Ok(None);
        }
        let range = MessageRange::Oldest {
            after: self.after,
            before: above(self.upto),
        };
        match with_retries(|| self.history.messages(self.channel, range, PAGE)).await {
            Ok(page) => {
                self.is_over = page.len() < PAGE;
                self.after = page.last().map_or(self.upto, |row| row.id);
                Ok(Some(
                    page.into_iter().map(|row| (row.id, Ok(row))).collect(),
                ))
            }
            Err(error @ PortError::Broken { .. }) => {
                self.is_over = true;
                self.one_by_one(expected, &error).await.map(Some)
            }
            Err(error) => Err(error),
        }
    }

    async fn one_by_one(
        &self,
        expected: &BTreeSet<Id>,
        error: &PortError,
    ) -> Result<Vec<(Id, Read<Message>)>, PortError> {
        let mut rows = Vec::new();
        let mut is_found = false;
        for id in expected
            .iter()
            .filter(|id| **id > self.after && **id <= self.upto)
        {
            match message(self.history, self.channel, *id).await {
                Ok(row) => rows.extend(row.map(|row| (*id, Ok(row)))),
                Err(error @ PortError::Broken { .. }) => {
                    is_found = true;
                    rows.push((*id, Err(error.to_string())));
                }
                Err(error) => return Err(error),
            }
        }
        if !is_found {
            // It is none of those that the log knows. Its text names it.
            rows.push((self.upto, Err(error.to_string())));
        }
        Ok(rows)
    }
}

/// The row of one message.
pub(super) async fn message(
    history: &dyn History,
    channel: &ChannelName,
    id: Id,
) -> Result<Option<Message>, PortError> {
    let range = MessageRange::Oldest {
        after: below(id),
        before: above(id),
    };
    let found = with_retries(|| history.messages(channel, range, 1)).await?;
    Ok(found.into_iter().next())
}

/// A page of the changes with `after < id <= upto`, and the id from which the next one goes on; `None` if
/// it was the last one.
pub(super) async fn changes(
    history: &dyn History,
    channel: &ChannelName,
    after: Id,
    upto: Id,
) -> Result<(Vec<Change>, Option<Id>), PortError> {
    if after >= upto {
        return Ok((Vec::new(), None));
    }
    let page = with_retries(|| history.changes(channel, after, above(upto), PAGE)).await?;
    let next = page
        .last()
        .filter(|_| page.len() == PAGE)
        .map(|change| change.id);
    Ok((page, next))
}

/// The number of the channel's last message at or below an id; 0 if there is none.
pub(super) async fn last_number(
    history: &dyn History,
    channel: &ChannelName,
    upto: Id,
) -> Result<u64, PortError> {
    let last = with_retries(|| history.last_message_number(channel, above(upto))).await?;
    Ok(last.map_or(0, |(_, n)| n))
}

/// A page of the channels that have rows; empty behind the last one.
pub(super) async fn channels(
    history: &dyn History,
    after: Option<&ChannelRows>,
) -> Result<Vec<ChannelRows>, PortError> {
    with_retries(|| history.channels_with_rows(after, CHANNELS)).await
}

/// The smallest id above this one.
fn above(id: Id) -> Id {
    Id::from_u64(id.as_u64() + 1).unwrap_or(Id::MAX)
}

fn below(id: Id) -> Id {
    id.as_u64()
        .checked_sub(1)
        .and_then(Id::from_u64)
        .unwrap_or(Id::ZERO)
}
