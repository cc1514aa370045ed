//! `lakechat log`: decisions about the log of a cluster that only an operator can make.

mod adoption;
mod partition_plan;
mod takeover;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};

use self::adoption::Adoption;
use self::partition_plan::Skip;
use self::takeover::Takeover;
use crate::app::places::Places;
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
    /// Continue with another log, or with places that belong to another installation
    ///
    /// A server stops a partition whose log is another one: the topic was recreated or restored, or
    /// retention removed records before they were archived. Records that only the old log held are
    /// lost, and adopting does not bring them back; history stays as it is. So first try to get the
    /// old topic back.
    ///
    /// Stop all servers, adopt, start them again. A partition whose log is the same continues at its
    /// mark. In the others, ids continue above the existing ones, so that cursors of clients stay
    /// valid. Without --yes it prints the plan and changes nothing (exit code 1).
    ///
    /// Topic, folder and prefix belong to the installation whose id they carry, and servers of other
    /// tables refuse to start on them. Adopting gives them to the tables of this configuration, as after
    /// a restore into new tables; the servers of the former owner are refused from then on. After table
    /// files was restored, it lets the sweeper go on, which then keeps all files that are there.
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
    let places = Places::new(config)?;
    let takeover = Takeover::plan(&hbase, &places).await?;
    print!("{}", takeover.summary());
    let adoption = match hbase.log_row().await? {
        Some(row) => {
            let settings = settings::kafka(config, row.partitions);
            Some(Adoption::plan(&hbase, row, settings, &adopt.skip).await?)
        }
        None => None,
    };
    if let Some(adoption) = &adoption {
        print!("{}", adoption.summary());
    }
    let adoption = adoption.filter(Adoption::changes_anything);
    ensure!(
        takeover.changes_anything() || adoption.is_some(),
        "history was written from this log, and no place belongs to another installation: there is nothing \
         to adopt"
    );
    if !adopt.yes {
        bail!("nothing was changed; --yes carries out the plan");
    }
    takeover.carry_out().await?;
    match adoption {
        Some(adoption) => {
            adoption.carry_out(&hbase).await?;
            let generation = adoption.generation();
            println!("adopted: generation {generation}; start the servers");
        }
        None => println!("adopted: the places belong to these tables; start the servers"),
    }
    Ok(())
}
