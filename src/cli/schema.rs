//! `lakechat schema`: the tables of the cluster mode, as HBase operators make and check them.

use anyhow::{Context, Result};
use clap::{Args, Subcommand, value_parser};

use crate::app::settings;
use crate::config::{ConfigFlag, Flags, HbaseConfig};
use lakechat_cluster::hbase::schema::{DEFAULT_REGIONS, MOST_REGIONS, statements};
use lakechat_cluster::hbase::{HBase, SchemaError};

/// Make and check the tables in HBase
///
/// lakechat makes no tables itself: print the statements, let whoever runs HBase read them, run
/// them, and check:
///
///   lakechat schema print --config lakechat.toml | hbase shell -n
///   lakechat schema check --config lakechat.toml
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct SchemaArgs {
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum SchemaCommand {
    /// Print the statements that make namespace and tables, for the HBase shell
    ///
    /// Running them again changes nothing: what is there stays as it is. The names come from
    /// hbase.namespace and hbase.table_prefix.
    Print(SchemaFlags),
    /// Compare the tables that there are with those that are needed
    ///
    /// Asks the Thrift servers of hbase.thrift for tables, families, versions, TTL and regions.
    /// Prints each difference with the statement that helps. Exit code 0: all is well, 1: it is
    /// not, or HBase can't be asked.
    Check(SchemaFlags),
}

#[derive(Args, Clone, Debug)]
struct SchemaFlags {
    #[command(flatten)]
    config: ConfigFlag,
    /// Regions of each large table: into how many it is split from the first day, so that writes
    /// go to all region servers. They split further as they grow
    #[arg(long, default_value_t = DEFAULT_REGIONS, value_parser = value_parser!(u16).range(1..=MOST_REGIONS as i64))]
    regions: u16,
}

impl SchemaArgs {
    /// What says where HBase is.
    pub fn flags(&self) -> Flags {
        match &self.command {
            SchemaCommand::Print(schema) | SchemaCommand::Check(schema) => schema.config.flags(),
        }
    }
}

/// What to print on standard output; an error if the tables differ or can't be looked at.
pub async fn run(args: &SchemaArgs, config: &HbaseConfig) -> Result<String> {
    match &args.command {
        SchemaCommand::Print(schema) => Ok(statements(&settings::hbase(config), schema.regions)),
        SchemaCommand::Check(schema) => check(config, schema.regions).await,
    }
}

async fn check(config: &HbaseConfig, regions: u16) -> Result<String> {
    let hbase = HBase::start(&settings::hbase(config)).context("no thread can be started")?;
    match hbase.check_schema(Some(regions)).await {
        Ok(()) => Ok("ok: all tables are as lakechat needs them\n".to_owned()),
        Err(differs @ SchemaError::Differs(_)) => Err(differs.into()),
        Err(SchemaError::Unavailable(error)) => {
            let servers = config.thrift.joined();
            let hint = format!(
                "HBase's Thrift server (hbase.thrift = {servers}) can't be asked; \
                 is `hbase thrift start` running there, and does HBase answer?"
            );
            Err(anyhow::Error::new(error).context(hint))
        }
    }
}
