//! Where one partition of an adopted log begins.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result};

use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::Offset;
use lakechat_core::ports::history::Mark;

/// Where to go on in a partition, as an operator says: `3:57`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    pub partition: Partition,
    pub to: Offset,
}

/// What Kafka has of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub kept: Offset,
    pub end: Offset,
    /// The first offsets at or after the mark's time and the millisecond behind it.
    pub at_time: Offset,
    pub behind_time: Offset,
}

/// A partition whose history was written up to a mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    mark: Mark,
    found: Found,
    begins: Begins,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    /// It is the log that history was written from.
    AtTheMark,
    /// It goes on at its kept start; what was between the mark and it is lost.
    BehindWhatIsLost,
    /// It is another log, from its kept start on.
    Anew,
    /// Where the operator says.
    At(Offset),
}

impl Place {
    pub fn judge(mark: Mark, found: Found, skip: Option<Offset>) -> Place {
        let Found { kept, end, .. } = found;
        // A record with the very append time of the last one that was stored stands below the mark.
        let knows_the_last = found.at_time < found.behind_time && found.at_time < mark.offset;
        // Retention took all that was stored and nothing else.
        let is_quiet = kept == mark.offset;
        let begins = match skip {
            Some(to) => Begins::At(to),
            None if kept > mark.offset => Begins::BehindWhatIsLost,
            None if mark.offset <= end && (is_quiet || knows_the_last) => Begins::AtTheMark,
            None => Begins::Anew,
        };
        Place {
            mark,
            found,
            begins,
        }
    }

    pub fn is_same(&self) -> bool {
        self.begins == Begins::AtTheMark
    }

    /// The mark in the adopted log.
    pub fn begin(&self) -> Mark {
        let at = |offset| Mark {
            offset,
            id: self.mark.id,
            time_ms: 0,
        };
        match self.begins {
            Begins::AtTheMark => self.mark,
            Begins::BehindWhatIsLost | Begins::Anew => at(self.found.kept),
            Begins::At(to) => at(to),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { offset, id, .. } = self.mark;
        let Found { kept, end, .. } = self.found;
        write!(
            f,
            "history has it below offset {offset}, last id {id}; the log holds {kept} to {end}: "
        )?;
        match self.begins {
            Begins::AtTheMark => write!(f, "the same log, goes on"),
            Begins::BehindWhatIsLost => write!(f, "goes on at {kept}, what was before it is lost"),
            Begins::Anew => write!(f, "another log, begins at {kept}"),
            Begins::At(to) => write!(f, "goes on at {to}, as told"),
        }
    }
}

impl FromStr for Skip {
    type Err = Error;

    fn from_str(text: &str) -> Result<Skip> {
        let parts = text.split_once(':').context("such as 3:57")?;
        Ok(Skip {
            partition: Partition(parts.0.parse().context("the partition")?),
            to: parts.1.parse().context("the offset")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakechat_core::domain::Id;

    fn judged(offset: Offset, kept: Offset, end: Offset, at: (Offset, Offset)) -> Place {
        let mark = Mark {
            offset,
            id: Id::from_u64(4_711 << 22).expect("63 bits"),
            time_ms: 1_000,
        };
        let found = Found {
            kept,
            end,
            at_time: at.0,
            behind_time: at.1,
        };
        Place::judge(mark, found, None)
    }

    #[test]
    fn log_that_has_what_was_stored_last_goes_on_at_the_mark() {
        for same in [
            judged(57, 0, 80, (56, 57)),
            judged(57, 56, 57, (56, 57)),
            // The last record below the mark came late.
            judged(57, 0, 80, (40, 41)),
            judged(0, 0, 80, (12, 13)),
            // Nothing is kept below the mark.
            judged(57, 57, 57, (57, 57)),
            judged(57, 57, 80, (57, 57)),
        ] {
            assert!(same.is_same(), "{same:?}");
            assert_eq!(same.begin(), same.mark);
        }
    }

    #[test]
    fn other_logs_begin_at_their_kept_start_above_the_last_id() {
        for (other, kept) in [
            // Ends below the mark.
            (judged(57, 0, 12, (12, 12)), 0),
            // Everything in it is later, or at no such time.
            (judged(57, 0, 80, (0, 0)), 0),
            (judged(57, 3, 80, (30, 30)), 3),
            // The record of that time stands behind the mark.
            (judged(57, 0, 80, (60, 61)), 0),
            // Retention took what was not stored, and what was.
            (judged(57, 60, 80, (60, 60)), 60),
            (judged(0, 60, 80, (60, 61)), 60),
        ] {
            assert!(!other.is_same(), "{other:?}");
            let Mark {
                offset,
                id,
                time_ms,
            } = other.begin();
            assert_eq!((offset, id, time_ms), (kept, other.mark.id, 0));
        }
    }

    #[test]
    fn skip_says_where_to_go_on() {
        let skip: Skip = "3:57".parse().expect("a skip");
        assert_eq!((skip.partition, skip.to), (Partition(3), 57));
        for wrong in ["3", "3:", ":57", "3:-1", "x:1", "70000:1"] {
            wrong.parse::<Skip>().expect_err(wrong);
        }
        let Place { mark, found, .. } = judged(50, 0, 80, (49, 50));
        let place = Place::judge(mark, found, Some(57));
        assert!(!place.is_same() && place.begin().offset == 57);
    }
}
