//! Counts the reactions to a message, from the records of the log alone.

use std::collections::HashMap;

use crate::chat::log::entry::Entry;
use crate::chat::log::record::Body;
use crate::domain::{Id, ReactionCounts, UserName};

/// The reactions to a message, as far as the tail shows them.
///
/// A reaction's record says how its server found the message. If the tail has everything since then, the
/// counts before the record follow from that and from the reactions in between.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// After the last reaction; None if they are unknown.
    counts: Option<ReactionCounts>,
    /// The last reaction in the tail.
    last: Id,
    /// The last reaction in the tail of each person and emoji, and whether it is on.
    latest: HashMap<(UserName, String), (Id, bool)>,
}

impl Tally {
    /// Counts the next reaction, and returns the counts that result, if they are known. `above`: the
    /// tail has every record with an id above this one.
    pub fn count(&mut self, entry: &Entry, above: Id) -> Option<ReactionCounts> {
        let record = entry.accepted()?;
        let Body::React {
            emoji, on, before, ..
        } = &record.body
        else {
            return None;
        };
        // What lies between a server's look and the beginning of the tail is unknown.
        let before = before.as_ref().filter(|before| before.at >= above);
        let by = (record.sender.clone(), emoji.clone());
        let in_tail = self.latest.insert(by, (entry.id, *on)).map(|(_, on)| on);
        let had = in_tail.or_else(|| before.map(|before| before.had));
        let counts = self.counts.take().or_else(|| {
            let before = before.filter(|before| before.at >= self.last)?;
            Some(before.counts.clone())
        });
        self.last = entry.id;
        let (mut counts, had) = (counts?, had?);
        if had != *on {
            let count = counts.remove(emoji).unwrap_or(0);
            let count = if *on {
                count + 1
            } else {
                count.saturating_sub(1)
            };
            if count > 0 {
                counts.insert(emoji.clone(), count);
            }
        }
        self.counts = Some(counts.clone());
        Some(counts)
    }

    /// Forgets a reaction that leaves the tail.
    pub fn forget(&mut self, entry: &Entry) {
        if let Some(record) = entry.accepted()
            && let Body::React { emoji, .. } = &record.body
        {
            let by = (record.sender.clone(), emoji.clone());
            if self.latest.get(&by).is_some_and(|(id, _)| *id == entry.id) {
                self.latest.remove(&by);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::log::fold::Verdict;
    use crate::chat::log::record::{ReactionsBefore, Record};
    use crate::domain::ChannelName;

    fn id(n: u64) -> Id {
        Id::from_u64(n).expect("small")
    }

    /// A reaction `n` with 👍, and what its server found at `at`.
    fn reaction(n: u64, user: &str, on: bool, at: u64, count: u64, had: bool) -> Entry {
        let counts = ReactionCounts::from([("👍".to_owned(), count)]);
        let before = ReactionsBefore {
            at: id(at),
            counts: counts.into_iter().filter(|(_, count)| *count > 0).collect(),
            had,
        };
        let body = Body::React {
            target: id(1),
            emoji: "👍".to_owned(),
            on,
            before: Some(before),
        };
        let record = Record {
            channel: ChannelName::general(),
            private: false,
            sender: UserName::parse(user).expect("a name"),
            client_msg_id: None,
            digest: body.digest(),
            received_at_ms: 0,
            body,
        };
        Entry::new(n, 0, id(n), Verdict::Accepted, Some(record))
    }

    /// The number of 👍 after each reaction; None if it is unknown.
    fn counts(above: u64, reactions: &[Entry]) -> Vec<Option<u64>> {
        let mut tally = Tally::default();
        let counts = reactions.iter().map(|r| tally.count(r, id(above)));
        let thumbs = |counts: ReactionCounts| counts.get("👍").copied().unwrap_or(0);
        counts.map(|counts| counts.map(thumbs)).collect()
    }

    #[test]
    fn concurrent_reactions_are_counted_once_each() {
        // All of them were taken by servers that had seen none of the others.
        let reactions = [
            reaction(10, "ann", true, 9, 2, false),
            reaction(11, "bob", true, 9, 2, false),
            reaction(12, "ann", true, 9, 2, false),
            reaction(13, "eve", false, 9, 2, true),
            reaction(14, "bob", false, 9, 2, false),
        ];
        assert_eq!(
            counts(9, &reactions),
            [Some(3), Some(4), Some(4), Some(3), Some(2)]
        );
    }

    #[test]
    fn counts_are_unknown_until_a_server_looked_after_all_that_is_unknown() {
        let reactions = [
            reaction(10, "ann", true, 7, 2, false),
            reaction(11, "bob", true, 9, 3, false),
            reaction(12, "eve", true, 11, 4, false),
        ];
        assert_eq!(counts(8, &reactions), [None, None, Some(5)]);
    }

    #[test]
    fn reaction_that_left_the_tail_is_in_what_later_servers_find() {
        let mut tally = Tally::default();
        let first = reaction(10, "ann", true, 9, 0, false);
        let second = reaction(11, "bob", true, 10, 1, false);
        tally.count(&first, id(9));
        tally.count(&second, id(9));
        tally.forget(&first);
        let again = reaction(12, "ann", true, 11, 2, true);
        let counts = tally.count(&again, id(10)).expect("known");
        assert_eq!(counts["👍"], 2);
        assert_eq!(tally.latest.len(), 2);
    }
}
