//! `lakechat log`: what only an operator can decide about the log of the cluster mode.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};

use crate::adapters::hbase::{HBase, LogRow};
use crate::adapters::kafka::{KafkaBroker, Settings};
use crate::config::{Config, ConfigFlag, Flags, Mode};
use crate::domain::Partition;
use crate::ports::Broker;
use crate::ports::broker::Offset;
use crate::ports::history::Mark;

/// Decide about the log of a cluster
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum LogCommand {
    /// Go on with another log than the one that history was written from
    ///
    /// A server stops a partition whose log is another one: the topic was made anew or restored, or
    /// retention took records before history had them. What the old log held and history doesn't is
    /// lost, and adopting can't bring it back; what history has stays. So first look whether the old
    /// topic can be had again.
    ///
    /// Stop all servers, adopt, start them again. Ids go on above those that were given, so cursors
    /// of clients stay good. Without --yes it shows what it would do, and changes nothing.
    Adopt(AdoptFlags),
}

#[derive(Args, Clone, Debug)]
struct AdoptFlags {
    #[command(flatten)]
    config: ConfigFlag,
    /// Do it
    #[arg(long)]
    yes: bool,
}

impl LogArgs {
    /// What says where the services are.
    pub fn flags(&self) -> Flags {
        let LogCommand::Adopt(adopt) = &self.command;
        adopt.config.flags()
    }
}

/// Prints what it finds and does.
pub async fn run(args: &LogArgs, config: &Config) -> Result<()> {
    let LogCommand::Adopt(adopt) = &args.command;
    ensure!(
        config.mode == Mode::Cluster,
        "mode = \"embedded\": the log of a data folder is never another one"
    );
    let hbase = HBase::start(&config.hbase).context("no thread can be started")?;
    let row = hbase.log_row().await?;
    let row = row.context("there is no log yet: the first server that starts makes it")?;
    let settings = Settings::new(&config.kafka, row.partitions, config.chat.frame_bytes);
    let adoption = Adoption::plan(&hbase, row, settings).await?;
    print!("{}", adoption.told());
    if !adopt.yes {
        bail!("nothing was changed; with --yes it is");
    }
    adoption.carry_out(&hbase).await?;
    println!(
        "adopted: generation {}; start the servers",
        adoption.new.generation
    );
    Ok(())
}

struct Adoption {
    old: LogRow,
    new: LogRow,
    marks: Vec<Mark>,
    kept: Vec<Offset>,
    ends: Vec<Offset>,
}

impl Adoption {
    async fn plan(hbase: &HBase, old: LogRow, settings: Settings) -> Result<Adoption> {
        let topic = settings.messages_topic();
        let broker = KafkaBroker::connect(settings).await?;
        let history = hbase.history(old.partitions, old.generation);
        let marks = history.marks().await?;
        let new = LogRow {
            topic,
            generation: old.generation + 1,
            floors: marks.iter().map(|mark| mark.id).collect(),
            ..old.clone()
        };
        Ok(Adoption {
            kept: broker.kept_starts().await?,
            ends: broker.ends().await?,
            old,
            new,
            marks,
        })
    }

    fn told(&self) -> String {
        let mut text = format!(
            "history: topic {}, generation {}\nadopts:  topic {}, generation {}\n",
            self.old.topic, self.old.generation, self.new.topic, self.new.generation
        );
        let logs = self.kept.iter().zip(&self.ends);
        for (partition, (mark, (kept, end))) in self.marks.iter().zip(logs).enumerate() {
            let Mark { offset, id, .. } = mark;
            writeln!(
                text,
                "partition {partition}: history has it below offset {offset}, last id {id}; the log \
                 now holds {kept} to {end}"
            )
            .expect("a String takes everything");
        }
        text
    }

    /// The marks come first: servers look at them only once row `log` names their generation.
    async fn carry_out(&self, hbase: &HBase) -> Result<()> {
        let history = hbase.history(self.new.partitions, self.new.generation);
        for (partition, (kept, floor)) in self.kept.iter().zip(&self.new.floors).enumerate() {
            let begins = Mark {
                offset: *kept,
                id: *floor,
                time_ms: 0,
            };
            if begins.offset > 0 {
                history.advance(Partition(partition as u16), begins).await?;
            }
        }
        let replaced = hbase.replace_log_row(&self.old, &self.new).await?;
        ensure!(
            replaced,
            "somebody else has adopted a log meanwhile: look again"
        );
        Ok(())
    }
}
