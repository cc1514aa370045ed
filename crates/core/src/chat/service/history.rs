//! Pages of history, for HTTP and for frames.

use serde_json::value::RawValue;

use super::Chat;
use crate::chat::hub::HubChannel;
use crate::chat::read::ReadMessage;
use crate::domain::{Code, Id, Problem, UserName};
use crate::ports::history::MessageRange;

/// Messages per page: the default and the maximum.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// A page ends after the message with which it exceeds this size. The next page begins there.
const PAGE_BYTES: usize = 1024 * 1024;

/// Where a page lies, and in which direction the next page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PagePosition {
    /// The newest messages below an id; the next page is older.
    Before(Id),
    /// The oldest messages above an id; the next page is newer.
    After(Id),
    /// Half of the page below an id and half above it; the next page is newer.
    Around(Id),
}

/// A valid request for a page.
#[derive(Clone, Copy, Debug)]
pub struct PageQuery {
    position: PagePosition,
    limit: usize,
}

/// A page of messages, oldest first.
#[derive(Debug)]
pub struct Page {
    pub messages: Vec<Box<RawValue>>,
    /// The `cursor` of the next page; None on the last page.
    pub next: Option<String>,
}

impl PageQuery {
    /// Accepts at most one of the four positions. Without a position: the newest messages.
    pub fn new(
        before: Option<Id>,
        after: Option<Id>,
        around: Option<Id>,
        cursor: Option<&str>,
        limit: Option<u64>,
    ) -> Result<PageQuery, Problem> {
        let cursor = cursor.map(parse_cursor).transpose()?;
        let given = [
            before.map(PagePosition::Before),
            after.map(PagePosition::After),
            around.map(PagePosition::Around),
        ];
        let mut given = given.into_iter().chain([cursor]).flatten();
        let position = given.next().unwrap_or(PagePosition::Before(Id::MAX));
        if given.next().is_some() {
            let text = "At most one of before, after, around and cursor.";
            return Err(Problem::new(Code::ParamsExclusive, text));
        }
        let limit = match limit.map(usize::try_from) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
            Some(_) => return Err(limit_invalid()),
        };
        Ok(PageQuery { position, limit })
    }
}

/// The problem for a limit out of range, for history and for lists.
pub fn limit_invalid() -> Problem {
    let text = format!("limit is a whole number from 1 to {MAX_LIMIT}.");
    Problem::new(Code::LimitInvalid, text)
        .field("limit")
        .limit(MAX_LIMIT as u64)
}

impl Chat {
    /// Reads a page. It has every message that was acked before the call.
    pub async fn history(
        &self,
        channel: &HubChannel,
        reader: &UserName,
        query: PageQuery,
    ) -> Result<Page, Problem> {
        self.reads.barrier().pass(channel.partition).await?;
        let PageQuery { position, limit } = query;
        let (messages, next) = match position {
            PagePosition::Before(before) => self.older(channel, reader, before, limit).await?,
            PagePosition::After(after) => self.newer(channel, reader, after, limit).await?,
            PagePosition::Around(id) => {
                let (mut messages, _) = self.older(channel, reader, id, limit / 2).await?;
                // What the older half leaves unused goes to the newer half.
                let room = limit - messages.len();
                let (newer, next) = self.newer(channel, reader, id, room).await?;
                messages.extend(newer);
                (messages, next)
            }
        };
        Ok(Page { messages, next })
    }

    async fn older(
        &self,
        channel: &HubChannel,
        reader: &UserName,
        before: Id,
        limit: usize,
    ) -> Result<(Vec<Box<RawValue>>, Option<String>), Problem> {
        let range = MessageRange::Newest {
            after: Id::ZERO,
            before,
        };
        // One message more than the page has shows whether there is a next page.
        let found = self.reads.messages(channel, range, limit + 1).await?;
        let (mut messages, last) = fit(channel, reader, found.iter().rev(), limit);
        messages.reverse();
        Ok((messages, last.map(|id| format!("b{id}"))))
    }

    async fn newer(
        &self,
        channel: &HubChannel,
        reader: &UserName,
        after: Id,
        limit: usize,
    ) -> Result<(Vec<Box<RawValue>>, Option<String>), Problem> {
        let range = MessageRange::Oldest {
            after,
            before: Id::MAX,
        };
        let found = self.reads.messages(channel, range, limit + 1).await?;
        let (messages, last) = fit(channel, reader, found.iter(), limit);
        Ok((messages, last.map(|id| format!("a{id}"))))
    }

    /// Messages above a cursor, oldest first, for a resume. Its join has passed the barrier.
    pub async fn missed(
        &self,
        channel: &HubChannel,
        after: Id,
        limit: usize,
    ) -> Result<Vec<ReadMessage>, Problem> {
        self.reads
            .messages(
                channel,
                MessageRange::Oldest {
                    after,
                    before: Id::MAX,
                },
                limit,
            )
            .await
    }
}

/// The messages that fit into a page, at least one unless `limit` is 0. If some don't fit, also the
/// id of the last one that does.
fn fit<'a>(
    channel: &HubChannel,
    reader: &UserName,
    found: impl Iterator<Item = &'a ReadMessage>,
    limit: usize,
) -> (Vec<Box<RawValue>>, Option<Id>) {
    let mut messages = Vec::new();
    let (mut bytes, mut last) = (0, None);
    for message in found {
        if messages.len() == limit || bytes > PAGE_BYTES {
            return (messages, last);
        }
        let object = message.object(channel, reader);
        bytes += object.get().len();
        messages.push(object);
        last = Some(message.id());
    }
    (messages, None)
}

/// Parses a cursor of [`Page::next`]: the direction, and the id at which to continue.
fn parse_cursor(text: &str) -> Result<PagePosition, Problem> {
    let parsed = match text.split_at_checked(1) {
        Some(("b", id)) => id.parse().map(PagePosition::Before).ok(),
        Some(("a", id)) => id.parse().map(PagePosition::After).ok(),
        _ => None,
    };
    parsed.ok_or_else(|| {
        Problem::new(
            Code::CursorInvalid,
            "cursor must be the next of an earlier page.",
        )
        .field("cursor")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_exclusive_and_limits_are_held() {
        let id = Id::from_u64(7);
        let both = PageQuery::new(id, id, None, None, None).expect_err("both");
        assert_eq!(both.code, Code::ParamsExclusive);
        let both = PageQuery::new(id, None, None, Some("a7"), None).expect_err("both");
        assert_eq!(both.code, Code::ParamsExclusive);
        for limit in [0, 201, u64::MAX] {
            let wrong = PageQuery::new(None, None, None, None, Some(limit)).expect_err("limit");
            assert_eq!((wrong.code, wrong.limit), (Code::LimitInvalid, Some(200)));
        }
    }

    #[test]
    fn cursors_come_back_and_others_are_refused() {
        let id = Id::from_u64(7).expect("small");
        assert_eq!(
            parse_cursor(&format!("b{id}")).expect("ours"),
            PagePosition::Before(id)
        );
        for bad in ["", "b", "x7", "ü", "a-1"] {
            assert_eq!(parse_cursor(bad).expect_err(bad).code, Code::CursorInvalid);
        }
    }
}
