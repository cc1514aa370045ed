//! `lakechat log`: what only an operator can decide about the log of the cluster mode.

mod adoption;
mod partition_plan;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};

use self::adoption::Adoption;
use self::partition_plan::Skip;
use crate::app::settings;
use crate::config::{Config, ConfigFlag, Flags, Mode};
use lakechat_cluster::hbase::HBase;

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
    /// Stop all servers, adopt, start them again. Partitions whose log is the same go on where history
    /// is; in the others ids go on above those that were given, so cursors of clients stay good. Without
    /// --yes it shows what it would do, and changes nothing (exit code 1).
    Adopt(AdoptFlags),
}

#[derive(Args, Clone, Debug)]
struct AdoptFlags {
    #[command(flatten)]
    config: ConfigFlag,
    /// Go on in a partition at an offset behind records that can't be read, which are lost then; may be
    /// given for several
    #[arg(long, value_name = "PARTITION:OFFSET")]
    skip: Vec<Skip>,
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
    let hbase =
        HBase::start(&settings::hbase(&config.hbase)).context("no thread can be started")?;
    let row = hbase.log_row().await?;
    let row = row.context("there is no log yet: the first server that starts makes it")?;
    let settings = settings::kafka(config, row.partitions);
    let adoption = Adoption::plan(&hbase, row, settings, &adopt.skip).await?;
    print!("{}", adoption.told());
    ensure!(
        adoption.changes_anything(),
        "history was written from this log: there is nothing to adopt"
    );
    if !adopt.yes {
        bail!("nothing was changed; with --yes it is");
    }
    adoption.carry_out(&hbase).await?;
    println!(
        "adopted: generation {}; start the servers",
        adoption.generation()
    );
    Ok(())
}
