//! Pages of history, for HTTP and for frames.

use serde_json::value::RawValue;

use super::Chat;
use crate::chat::hub::HubChannel;
use crate::chat::read::ReadMessage;
use crate::domain::{Code, Id, Problem, UserName};
use crate::keyed_memory::{Exhausted, ReservedMemory};
use crate::ports::history::MessageRange;

/// Messages per page: the default and the maximum.
const DEFAULT_LIMIT: usize = 50;
pub const MAX_LIMIT: usize = 200;

/// The most JSON of messages in a page of HTTP, unless its only message is larger. With the fields
/// around them it stays below 1 MiB.
pub const PAGE_BYTES: usize = 1024 * 1024 - 1024;

/// The same for a frame. Many clients accept frames up to 1 MiB; and a session keeps a buffer of the
/// size of its largest frame.
pub const FRAME_PAGE_BYTES: usize = 256 * 1024;

/// The memory for the messages of one read. A page of many large messages takes several reads.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// The memory of a message beside its text: most of it for reactions.
const MESSAGE_BYTES: usize = 4096;

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
    /// The memory of the page.
    pub memory: ReservedMemory,
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
        let limit = page_limit(limit, DEFAULT_LIMIT)?;
        Ok(PageQuery { position, limit })
    }
}

/// The number of items in a page: `default` if the client gave no limit.
pub fn page_limit(limit: Option<u64>, default: usize) -> Result<usize, Problem> {
    match limit.map(usize::try_from) {
        None => Ok(default),
        Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(_) => Err(limit_invalid()),
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
    /// Reads a page of at most `limit_bytes`. It has every message that was acked before the call.
    pub async fn history(
        &self,
        channel: &HubChannel,
        reader: &UserName,
        query: PageQuery,
        limit_bytes: usize,
    ) -> Result<Page, Problem> {
        self.reads.barrier().pass(channel.partition).await?;
        let PageQuery { position, limit } = query;
        let (_, read_bytes) = self.one_read(limit + 1);
        // The page exists twice while it is encoded.
        let page_bytes = 2 * limit_bytes.max(self.most_json_bytes());
        let bytes = read_bytes + page_bytes;
        let mut memory = self.reserve(reader, bytes).await?;
        let mut filling = Filling::new(limit, limit_bytes);
        let next = match position {
            PagePosition::Before(before) => {
                let rest = self.fill(&mut filling, channel, reader, Direction::Older, before);
                let rest = rest.await?;
                filling.messages.reverse();
                rest.map(|id| format!("b{id}"))
            }
            PagePosition::After(after) => {
                let rest = self.fill(&mut filling, channel, reader, Direction::Newer, after);
                rest.await?.map(|id| format!("a{id}"))
            }
            PagePosition::Around(id) => {
                // What the older half leaves unused goes to the newer half.
                let mut page = Filling::new(limit / 2, limit_bytes / 2);
                self.fill(&mut page, channel, reader, Direction::Older, id)
                    .await?;
                page.messages.reverse();
                filling.append(page);
                let rest = self.fill(&mut filling, channel, reader, Direction::Newer, id);
                rest.await?.map(|id| format!("a{id}"))
            }
        };
        memory.shrink_to(2 * filling.bytes);
        Ok(Page {
            messages: filling.messages,
            next,
            memory,
        })
    }

    /// Adds messages to a page, beginning next to `from`, until it is full or there are no more. If
    /// there are more, returns the id of the last one that was added, or else `from`.
    async fn fill(
        &self,
        page: &mut Filling,
        channel: &HubChannel,
        reader: &UserName,
        direction: Direction,
        from: Id,
    ) -> Result<Option<Id>, Problem> {
        let mut last = from;
        loop {
            // One message more than the page has shows whether there is a next page.
            let (wanted, _) = self.one_read(page.limit - page.messages.len() + 1);
            let range = direction.range(last);
            let found = self.reads.messages(channel, range, wanted).await?;
            let is_all = found.len() < wanted;
            for message in direction.sort(found) {
                if !page.add(message.object(channel, reader)) {
                    return Ok(Some(last));
                }
                last = message.id();
            }
            if is_all {
                return Ok(None);
            }
        }
    }

    /// Reserves memory for what is read for one user.
    pub(super) async fn reserve(
        &self,
        reader: &UserName,
        bytes: usize,
    ) -> Result<ReservedMemory, Problem> {
        let reserved = self.read_memory.reserve(reader, bytes).await;
        reserved.map_err(|exhausted| match exhausted {
            Exhausted::Part => {
                let most = self.read_memory.part_bytes();
                let text = format!(
                    "Your history pages and resumed messages in flight may take {most} bytes; read \
                     them before you request more."
                );
                let problem = Problem::new(Code::RateLimited, text);
                problem.limit(most as u64).retry_after_ms(1_000)
            }
            Exhausted::All => {
                let text = "Too many history pages and resumes are in progress on this server; try \
                            again in a second.";
                Problem::new(Code::HistoryUnavailable, text).retry_after_ms(1_000)
            }
        })
    }

    /// How many messages one read returns at most, if `wanted` are wanted, and the memory that they
    /// may take.
    pub(super) fn one_read(&self, wanted: usize) -> (usize, usize) {
        let message_bytes = self.settings.limits.text_bytes + MESSAGE_BYTES;
        let count = wanted.min((READ_BYTES / message_bytes).max(1));
        (count, count * message_bytes)
    }

    /// The largest JSON of a message. A byte of its text may become six, as in `\u0001`.
    pub(super) fn most_json_bytes(&self) -> usize {
        6 * self.settings.limits.text_bytes + MESSAGE_BYTES
    }
}

/// Where the messages of a page lie, seen from its position.
#[derive(Clone, Copy)]
enum Direction {
    Older,
    Newer,
}

impl Direction {
    fn range(self, from: Id) -> MessageRange {
        match self {
            Direction::Older => MessageRange::Newest {
                after: Id::ZERO,
                before: from,
            },
            Direction::Newer => MessageRange::Oldest {
                after: from,
                before: Id::MAX,
            },
        }
    }

    /// Sorts messages that are oldest first: those next to the position come first.
    fn sort(self, mut found: Vec<ReadMessage>) -> Vec<ReadMessage> {
        if let Direction::Older = self {
            found.reverse();
        }
        found
    }
}

/// A page that is being filled.
struct Filling {
    messages: Vec<Box<RawValue>>,
    bytes: usize,
    limit: usize,
    limit_bytes: usize,
}

impl Filling {
    fn new(limit: usize, limit_bytes: usize) -> Filling {
        Filling {
            messages: Vec::new(),
            bytes: 0,
            limit,
            limit_bytes,
        }
    }

    /// Adds a message if it fits. The first message of a page always fits.
    fn add(&mut self, message: Box<RawValue>) -> bool {
        // With the comma behind it.
        let bytes = self.bytes + message.get().len() + 1;
        let fits = bytes <= self.limit_bytes || self.messages.is_empty();
        if self.messages.len() == self.limit || !fits {
            return false;
        }
        self.bytes = bytes;
        self.messages.push(message);
        true
    }

    fn append(&mut self, other: Filling) {
        self.bytes += other.bytes;
        self.messages.extend(other.messages);
    }
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

    fn json(bytes: usize) -> Box<RawValue> {
        let text = format!("\"{}\"", "x".repeat(bytes - 2));
        RawValue::from_string(text).expect("a string")
    }

    #[test]
    fn a_page_ends_before_the_message_that_would_exceed_its_size_and_has_at_least_one() {
        let mut page = Filling::new(3, 30);
        assert!(page.add(json(9)));
        assert!(page.add(json(19)), "30 bytes with the commas");
        assert!(!page.add(json(2)));
        let mut page = Filling::new(3, 30);
        assert!(page.add(json(100)), "the only one");
        assert!(!page.add(json(2)));
        let mut page = Filling::new(1, 30);
        assert!(page.add(json(2)));
        assert!(!page.add(json(2)), "the limit");
    }

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
