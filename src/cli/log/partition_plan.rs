//! Where a partition of an adopted log starts.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result};

use lakechat_cluster::hbase::GenerationStart;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::Offset;
use lakechat_core::ports::history::Mark;

/// Where an operator wants a partition to continue: `3:57`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    pub partition: Partition,
    pub to: Offset,
}

/// A partition in Kafka.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogPartition {
    /// The first offset that is still kept.
    pub start: Offset,
    pub end: Offset,
    /// The first offsets at or after the mark's time, and at or after the next millisecond.
    pub at_time: Offset,
    pub behind_time: Offset,
}

/// What the generation that is replaced knows of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct OldGeneration {
    /// Up to where history was written.
    pub mark: Mark,
    /// Its first offset.
    pub begin: Offset,
    /// Whether the adopted log is in the same topic.
    pub is_same_topic: bool,
}

/// A partition whose history was written up to a mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartitionPlan {
    mark: Mark,
    /// The first offset of the generation that is replaced.
    begin: Offset,
    found: LogPartition,
    start: StartPoint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StartPoint {
    /// At the mark: it is the log that history was written from.
    Mark,
    /// At the log's start. The records between the mark and it are lost.
    AfterLostRecords,
    /// At the log's start: it is another log.
    OtherLog,
    /// Where the operator wants it.
    Skip(Offset),
}

impl PartitionPlan {
    pub fn judge(old: OldGeneration, found: LogPartition, skip: Option<Offset>) -> PartitionPlan {
        let OldGeneration {
            mark,
            begin,
            is_same_topic,
        } = old;
        let LogPartition { start, end, .. } = found;
        // Below the mark is a record with the append time of the last archived one.
        let has_last_archived = found.at_time < found.behind_time && found.at_time < mark.offset;
        // Retention removed exactly what was archived.
        let starts_at_mark = start == mark.offset;
        // Nothing was archived in the old generation: nothing shows which log it is, and where it was
        // to begin still holds.
        let is_unused = is_same_topic && mark.offset == begin;
        let is_same = starts_at_mark || has_last_archived || is_unused;
        let start_point = match skip {
            Some(to) => StartPoint::Skip(to),
            None if start > mark.offset => StartPoint::AfterLostRecords,
            None if mark.offset <= end && is_same => StartPoint::Mark,
            None => StartPoint::OtherLog,
        };
        PartitionPlan {
            mark,
            begin,
            found,
            start: start_point,
        }
    }

    pub fn is_same(&self) -> bool {
        self.start == StartPoint::Mark
    }

    /// Where the new generation starts.
    pub fn generation_start(&self) -> GenerationStart {
        let at = |offset| GenerationStart {
            begin: offset,
            offset,
            time: 0,
        };
        match self.start {
            StartPoint::Mark => GenerationStart {
                begin: self.begin,
                offset: self.mark.offset,
                time: self.mark.time_ms,
            },
            StartPoint::AfterLostRecords | StartPoint::OtherLog => at(self.found.start),
            StartPoint::Skip(to) => at(to),
        }
    }
}

impl fmt::Display for PartitionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { offset, id, .. } = self.mark;
        let LogPartition { start, end, .. } = self.found;
        write!(
            f,
            "history has it below offset {offset}, last id {id}; the log holds {start} to {end}: "
        )?;
        match self.start {
            StartPoint::Mark => write!(f, "the same log, goes on"),
            StartPoint::AfterLostRecords => {
                write!(f, "goes on at {start}, the records before it are lost")
            }
            StartPoint::OtherLog => write!(f, "another log, begins at {start}"),
            StartPoint::Skip(to) => write!(f, "goes on at {to}, as requested"),
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

    fn old(mark: Mark, begin: Offset) -> OldGeneration {
        OldGeneration {
            mark,
            begin,
            is_same_topic: true,
        }
    }

    fn judged(offset: Offset, kept: Offset, end: Offset, at: (Offset, Offset)) -> PartitionPlan {
        let mark = Mark {
            offset,
            id: Id::from_u64(4_711 << 22).expect("63 bits"),
            time_ms: 1_000,
        };
        let found = LogPartition {
            start: kept,
            end,
            at_time: at.0,
            behind_time: at.1,
        };
        PartitionPlan::judge(old(mark, 0), found, None)
    }

    #[test]
    fn log_with_the_last_archived_record_continues_at_the_mark() {
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
            let GenerationStart {
                begin,
                offset,
                time,
            } = same.generation_start();
            assert_eq!((begin, offset, time), (0, same.mark.offset, 1_000));
        }
    }

    #[test]
    fn other_logs_start_at_their_first_offset_above_the_last_id() {
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
            let GenerationStart {
                begin,
                offset,
                time,
            } = other.generation_start();
            assert_eq!((begin, offset, time), (kept, kept, 0));
        }
    }

    #[test]
    fn skip_sets_the_start() {
        let skip: Skip = "3:57".parse().expect("a skip");
        assert_eq!((skip.partition, skip.to), (Partition(3), 57));
        for wrong in ["3", "3:", ":57", "3:-1", "x:1", "70000:1"] {
            wrong.parse::<Skip>().expect_err(wrong);
        }
        let PartitionPlan { mark, found, .. } = judged(50, 0, 80, (49, 50));
        let plan = PartitionPlan::judge(old(mark, 0), found, Some(57));
        let start = plan.generation_start();
        assert!(!plan.is_same() && (start.begin, start.offset) == (57, 57));
    }

    #[test]
    fn later_adoption_keeps_what_was_skipped() {
        let PartitionPlan { mark, found, .. } = judged(50, 0, 80, (49, 50));
        let again = |offset, time_ms| {
            let mark = Mark {
                offset,
                time_ms,
                ..mark
            };
            PartitionPlan::judge(old(mark, 57), found, None)
        };
        // Nothing was archived since, and then something.
        for (plan, offset) in [(again(57, 0), 57), (again(60, 1_000), 60)] {
            let start = plan.generation_start();
            assert!(plan.is_same(), "{plan:?}");
            assert_eq!((start.begin, start.offset), (57, offset));
        }
        let unused = old(Mark { offset: 57, ..mark }, 57);
        let elsewhere = OldGeneration {
            is_same_topic: false,
            ..unused
        };
        let ends_below = LogPartition { end: 12, ..found };
        let none_archived = LogPartition {
            at_time: 0,
            behind_time: 0,
            ..found
        };
        for (old, found) in [(unused, ends_below), (elsewhere, none_archived)] {
            let plan = PartitionPlan::judge(old, found, None);
            assert!(!plan.is_same() && plan.generation_start().begin == 0);
        }
    }
}
