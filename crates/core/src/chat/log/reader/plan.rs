//! Where the reader begins in each partition. A partition whose edges the broker doesn't tell, because it has
//! no leader for instance, begins later than the others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;

use super::{lost, starts};
use crate::chat::log::Log;
use crate::domain::Partition;
use crate::ports::broker::Offset;
use crate::ports::history::Mark;
use crate::ports::{Broker, PortError};

/// How long to wait before the broker is asked again for the partitions that are left.
const RETRY: Duration = Duration::from_secs(2);

/// What the broker says about the partitions, with the mark of each.
pub struct Plan(Vec<(Partition, Mark, Result<Edges, PortError>)>);

/// The offset at which reading begins, and the log-end offset at that time.
struct Edges {
    start: Offset,
    end: Offset,
}

impl Plan {
    /// `marks`: one per partition, in order.
    pub async fn make(broker: &dyn Broker, marks: &[Mark]) -> Result<Plan, PortError> {
        let partitions = (0..broker.partitions()).map(Partition);
        let marks: Vec<_> = partitions.zip(marks.iter().copied()).collect();
        Plan::of(broker, &marks).await
    }

    async fn of(broker: &dyn Broker, marks: &[(Partition, Mark)]) -> Result<Plan, PortError> {
        let starts = starts(broker, marks).await?;
        let ends = broker.end_offsets().await?;
        let edges = |partition, start: Result<Offset, PortError>| {
            let end = ends.get(partition).map_err(super::unknown);
            let (start, end) = (start?, *end?);
            Ok(Edges { start, end })
        };
        let planned = marks.iter().zip(starts);
        let planned = planned.map(|(&(p, mark), (_, start))| (p, mark, edges(p, start)));
        Ok(Plan(planned.collect()))
    }
}

/// The way of start points to the reader's thread.
#[derive(Default)]
pub struct Planned(Mutex<Vec<(Partition, Offset)>>);

impl Planned {
    pub fn take(&self) -> Vec<(Partition, Offset)> {
        std::mem::take(&mut *self.0.lock().expect("no panic while held"))
    }

    pub fn has_more(&self) -> bool {
        !self.0.lock().expect("no panic while held").is_empty()
    }

    fn add(&self, partition: Partition, start: Offset) {
        let mut planned = self.0.lock().expect("no panic while held");
        planned.push((partition, start));
    }
}

/// The partitions that can't be read yet.
pub struct Later {
    log: Arc<Log>,
    planned: Arc<Planned>,
    left: Vec<(Partition, Mark)>,
}

/// Warms up all partitions, and begins those whose edges are known.
///
/// If a partition's log begins above the mark, records are lost. If it ends below the mark, it is another
/// log. Such a partition is stopped; the others are read.
pub fn begin(log: &Arc<Log>, plan: Plan) -> (Arc<Planned>, Later) {
    let planned = Arc::new(Planned::default());
    for (partition, mark, _) in &plan.0 {
        log.lock(*partition).warm_up(*mark, log.budget().clone());
        log.learn_mark(*partition, *mark);
    }
    let mut later = Later {
        log: log.clone(),
        planned: planned.clone(),
        left: Vec::new(),
    };
    later.begin(plan);
    (planned, later)
}

impl Later {
    /// Asks until all partitions have begun.
    pub async fn run(mut self) {
        while !self.left.is_empty() {
            sleep(RETRY).await;
            match Plan::of(self.log.broker().as_ref(), &self.left).await {
                Ok(plan) => self.begin(plan),
                Err(error) => tracing::warn!(%error, "cannot begin to read the rest of the log"),
            }
        }
    }

    fn begin(&mut self, plan: Plan) {
        self.left.clear();
        for (partition, mark, edges) in plan.0 {
            match edges {
                Ok(edges) => self.begin_one(partition, mark, &edges),
                Err(error) => {
                    let partition_number = partition.0;
                    tracing::warn!(partition = partition_number, %error, "cannot read a partition yet");
                    self.left.push((partition, mark));
                }
            }
        }
    }

    fn begin_one(&self, partition: Partition, mark: Mark, edges: &Edges) {
        let Edges { start, end } = *edges;
        let mut state = self.log.lock(partition);
        if let Some(lost) = lost(start, mark) {
            state.stop(lost);
        }
        if end < mark.offset {
            state.stop(format!(
                "history was written up to offset {}, but the log ends at {end}: this is another log \
                 (`lakechat log adopt --help`)",
                mark.offset
            ));
        }
        drop(state);
        // If the log has no record at or above the start, nothing else advances the position to it.
        self.log.advance(partition, start);
        self.planned.add(partition, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::log::MemoryBounds;
    use crate::chat::log::ending::{End, Ending};

    #[tokio::test(start_paused = true)]
    async fn partition_whose_end_is_unknown_begins_later() {
        let (early, late) = (Partition(1), Partition(0));
        let broker = Ending::new(&[End::Unknown, End::At(7)]);
        let bounds = MemoryBounds {
            tail_bytes: 0,
            window_bytes: 0,
        };
        let log = Log::new(Arc::new(broker.clone()), bounds);
        let mark = Mark {
            offset: 3,
            ..Mark::default()
        };
        let plan = Plan::make(&broker, &[mark; 2]).await.expect("it answers");
        let (planned, later) = begin(&log, plan);
        assert_eq!(planned.take(), [(early, 3)]);
        let mut running = std::pin::pin!(later.run());
        let waited = tokio::time::timeout(3 * RETRY, running.as_mut()).await;
        waited.expect_err("one is left");
        assert!(!planned.has_more());
        broker.set(late, End::At(2));
        running.await;
        assert_eq!(planned.take(), [(late, 3)]);
        let reason = log.stopped().expect("history has more than the log");
        assert!(reason.contains("the log ends at 2"), "{reason}");
    }
}
