//! `lakechat log`: decisions about the log of a cluster that only an operator can make.

mod adoption;
mod partition_plan;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};

use self::adoption::Adoption;
use self::partition_plan::Skip;
use crate::app::settings;
use crate::config::{Config, ConfigFlag, Flags, Mode};
use lakechat_cluster::hbase::HBase;

/// Repair the log of a cluster
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum LogCommand {
    /// Continue with another log than the one that history was written from
    ///
    /// A server stops a partition whose log is another one: the topic was recreated or restored, or
    /// retention removed records before they were archived. Records that only the old log held are
    /// lost, and adopting does not bring them back; history stays as it is. So first try to get the
    /// old topic back.
    ///
    /// Stop all servers, adopt, start them again. A partition whose log is the same continues at its
    /// mark. In the others, ids continue above the existing ones, so that cursors of clients stay
    /// valid. Without --yes it prints the plan and changes nothing (exit code 1).
    Adopt(AdoptFlags),
}

#[derive(Args, Clone, Debug)]
struct AdoptFlags {
    #[command(flatten)]
    config: ConfigFlag,
    /// Continue a partition at an offset, after records that can't be read; they are lost. May be given
    /// for several partitions
    #[arg(long, value_name = "PARTITION:OFFSET")]
    skip: Vec<Skip>,
    /// Carry out the plan
    #[arg(long)]
    yes: bool,
}

impl LogArgs {
    /// The flags of the configuration.
    pub fn flags(&self) -> Flags {
        let LogCommand::Adopt(adopt) = &self.command;
        adopt.config.flags()
    }
}

/// Prints the plan and, with --yes, carries it out.
pub async fn run(args: &LogArgs, config: &Config) -> Result<()> {
    let LogCommand::Adopt(adopt) = &args.command;
    ensure!(
        config.mode == Mode::Cluster,
        "mode = \"embedded\": the log in a data folder can't be exchanged"
    );
    let hbase = HBase::start(&settings::hbase(&config.hbase))
        .context("can't start the threads of HBase's client")?;
    let row = hbase.log_row().await?;
    let row = row.context("there is no log yet: the first start of a server creates it")?;
    let settings = settings::kafka(config, row.partitions);
    let adoption = Adoption::plan(&hbase, row, settings, &adopt.skip).await?;
    print!("{}", adoption.summary());
    ensure!(
        adoption.changes_anything(),
        "history was written from this log: there is nothing to adopt"
    );
    if !adopt.yes {
        bail!("nothing was changed; --yes carries out the plan");
    }
    adoption.carry_out(&hbase).await?;
    println!(
        "adopted: generation {}; start the servers",
        adoption.generation()
    );
    Ok(())
}
