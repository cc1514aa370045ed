//! Which part of each partition's log is compared with history.

use super::AuditOptions;
use crate::chat::log::fold::{WARM_UP_MS, WINDOW_MS};
use crate::chat::log::reader;
use crate::domain::{FindingKind, Findings, Id, Partition};
use crate::ports::broker::Offset;
use crate::ports::history::Mark;
use crate::ports::{Broker, History, PortError};

/// How long after the first record that is still kept a fold decides which records are accepted as one
/// does that has read the whole log: a window, and a minute for clocks that step back.
const SETTLE_MS: u64 = WINDOW_MS + 60_000;

/// Where a partition's log begins, as far as lakechat is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogOrigin {
    /// The first offset that counts. What lies below was skipped, or belongs to another log.
    pub begin: Offset,
    /// The last id before that offset, if it is known.
    pub id: Option<Id>,
}

/// The part of a partition that is read, from `start` up to the mark's offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartitionPlan {
    pub partition: Partition,
    pub start: Offset,
    pub mark: Mark,
    pub compare: CompareFrom,
}

/// From which record on the fold's results are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompareFrom {
    /// From the first one on: it follows this id, with an empty window.
    Beginning(Id),
    /// From the first one that was appended at this time or later, ms since 1970.
    Time(u64),
    /// The same, but not before the fold has settled. Its retries may be of records that are gone.
    Settled(u64),
}

impl CompareFrom {
    /// Resolves what depends on when the first record was appended.
    pub fn after_first(self, append_ms: u64) -> CompareFrom {
        match self {
            CompareFrom::Settled(at_ms) => CompareFrom::Time(at_ms.max(append_ms + SETTLE_MS)),
            known => known,
        }
    }
}

/// The plans of all partitions in which something can be compared, and by partition the marks.
#[derive(Debug)]
pub(super) struct Plan {
    pub partitions: Vec<PartitionPlan>,
    pub marks: Vec<Mark>,
}

/// Reads the marks before the log's edges: everything below a mark is in the log.
pub(super) async fn plan(
    broker: &dyn Broker,
    history: &dyn History,
    options: &AuditOptions,
    findings: &mut Findings,
) -> Result<Plan, PortError> {
    let marks = history.marks().await?;
    let kept = broker.start_offsets().await?.all()?;
    let ends = broker.end_offsets().await?.all()?;
    let since_ms = options.since_ms.unwrap_or(0);
    let from_ms = since_ms.saturating_sub(WARM_UP_MS);
    let times: Vec<_> = (0..)
        .map(Partition)
        .zip(&marks)
        .map(|(p, _)| (p, from_ms))
        .collect();
    let since = match options.since_ms {
        Some(_) => {
            let found = broker.offsets_for_times(&times).await?;
            found.into_iter().collect::<Result<_, _>>()?
        }
        None => kept.clone(),
    };
    let mut partitions = Vec::new();
    for (partition, mark) in (0..).map(Partition).zip(&marks) {
        let at = partition.index();
        let origin = options.origins.get(at).copied().unwrap_or_default();
        let place = format!("partition {partition}");
        if let Some(lost) = reader::lost(kept[at], *mark) {
            findings.add(FindingKind::LogLost, place, lost);
        } else if ends[at] < mark.offset {
            let what = format!(
                "history was written up to offset {}, and the log ends at {}",
                mark.offset, ends[at]
            );
            findings.add(FindingKind::LogDiffers, place, what);
        } else {
            let start = kept[at].max(since[at]);
            let compare = match origin.id {
                _ if since[at] > kept[at] => CompareFrom::Time(since_ms),
                Some(id) if start == origin.begin => CompareFrom::Beginning(id),
                _ => CompareFrom::Settled(since_ms),
            };
            if start < mark.offset {
                partitions.push(PartitionPlan {
                    partition,
                    start,
                    mark: *mark,
                    compare,
                });
            }
        }
    }
    Ok(Plan { partitions, marks })
}
