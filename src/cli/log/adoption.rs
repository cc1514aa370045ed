//! The adoption of a log: a new generation in row `log`, with where it starts in each partition.

use std::fmt::Write;

use anyhow::{Result, ensure};

use super::partition_plan::{LogPartition, OldGeneration, PartitionPlan, Skip};
use lakechat_cluster::hbase::{HBase, LogRow};
use lakechat_cluster::kafka::{KafkaBroker, KafkaSettings};
use lakechat_core::domain::Partition;
use lakechat_core::ports::Broker;
use lakechat_core::ports::broker::Offset;
use lakechat_core::ports::history::Mark;

pub(super) struct Adoption {
    old: LogRow,
    new: LogRow,
    plans: Vec<PartitionPlan>,
}

impl Adoption {
    pub async fn plan(
        hbase: &HBase,
        old: LogRow,
        settings: KafkaSettings,
        skips: &[Skip],
    ) -> Result<Adoption> {
        let topic = settings.messages_topic();
        let broker = KafkaBroker::connect(settings).await?;
        let marks = hbase
            .history(old.partitions, old.generation)
            .marks()
            .await?;
        let found = find(&broker, &marks).await?;
        for Skip { partition, to } in skips {
            let end = found.get(partition.index()).map(|found| found.end);
            ensure!(
                end.is_some_and(|end| *to <= end),
                "--skip {partition}:{to}: there is no such offset"
            );
        }
        let judge = |(at, (mark, found)): (usize, (&Mark, LogPartition))| {
            let begin = old.begins().get(at).copied().unwrap_or(0);
            let skip = skips.iter().find(|skip| skip.partition.index() == at);
            let old = OldGeneration {
                mark: *mark,
                begin,
                is_same_topic: topic == old.topic,
            };
            PartitionPlan::judge(old, found, skip.map(|skip| skip.to))
        };
        let plans: Vec<_> = marks.iter().zip(found).enumerate().map(judge).collect();
        // Marks of a later generation are left from an adoption that did not finish.
        let latest = old.generation.max(hbase.latest_marked_generation().await?);
        let new = LogRow {
            topic,
            generation: latest + 1,
            floors: marks.iter().map(|mark| mark.id).collect(),
            starts: plans.iter().map(PartitionPlan::generation_start).collect(),
            ..old.clone()
        };
        Ok(Adoption { old, new, plans })
    }

    pub fn summary(&self) -> String {
        let mut text = format!(
            "history: topic {}, generation {}\nadopts:  topic {}, generation {}\n",
            self.old.topic, self.old.generation, self.new.topic, self.new.generation
        );
        for (partition, plan) in self.plans.iter().enumerate() {
            writeln!(text, "partition {partition}: {plan}").expect("a String takes everything");
        }
        text
    }

    pub fn changes_anything(&self) -> bool {
        self.old.topic != self.new.topic || !self.plans.iter().all(PartitionPlan::is_same)
    }

    pub fn generation(&self) -> u32 {
        self.new.generation
    }

    /// Replaces row `log`, which has everything: so an adoption happens completely or not at all.
    pub async fn carry_out(&self, hbase: &HBase) -> Result<()> {
        let replaced = hbase.replace_log_row(&self.old, &self.new).await?;
        ensure!(
            replaced,
            "another adoption came first: run this again and review its plan"
        );
        Ok(())
    }
}

async fn find(broker: &KafkaBroker, marks: &[Mark]) -> Result<Vec<LogPartition>> {
    let starts = broker.start_offsets().await?.all()?;
    let ends = broker.end_offsets().await?.all()?;
    let at_time = offsets_for_times(broker, marks, 0).await?;
    let behind_time = offsets_for_times(broker, marks, 1).await?;
    let found = starts.into_iter().zip(ends).zip(at_time).zip(behind_time);
    let found = found.map(|(((start, end), at_time), behind_time)| LogPartition {
        start,
        end,
        at_time,
        behind_time,
    });
    Ok(found.collect())
}

/// For each partition, the first offset at or after its mark's time plus `behind_ms`.
async fn offsets_for_times(
    broker: &KafkaBroker,
    marks: &[Mark],
    behind_ms: u64,
) -> Result<Vec<Offset>> {
    let times = (0..).map(Partition).zip(marks);
    let times: Vec<_> = times
        .map(|(p, mark)| (p, mark.time_ms + behind_ms))
        .collect();
    let found = broker.offsets_for_times(&times).await?;
    Ok(found.into_iter().collect::<Result<_, _>>()?)
}
