//! `lakechat schema`: how operators of HBase create and check the tables of cluster mode.

use anyhow::{Context, Result};
use clap::{Args, Subcommand, value_parser};

use crate::app::settings;
use crate::config::{ConfigFlag, Flags, HbaseConfig};
use lakechat_cluster::hbase::schema::{DEFAULT_REGIONS, MOST_REGIONS, statements};
use lakechat_cluster::hbase::{HBase, SchemaError};

/// Create and check the tables in HBase
///
/// lakechat creates no tables itself. Print the statements, let the operator of HBase review and run
/// them, and check the result:
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
    /// Print the statements that create the namespace and the tables, for the HBase shell
    ///
    /// They skip what exists, so they can be run again. The names come from hbase.namespace and
    /// hbase.table_prefix.
    Print(SchemaFlags),
    /// Compare existing tables with those that lakechat needs
    ///
    /// Reads tables, families, versions, TTL and regions through the Thrift servers of hbase.thrift.
    /// Prints each difference with the statement that resolves it. Exit code 0: no difference; 1: a
    /// difference, or HBase can't be reached.
    Check(SchemaFlags),
}

#[derive(Args, Clone, Debug)]
struct SchemaFlags {
    #[command(flatten)]
    config: ConfigFlag,
    /// Regions that each large table is created with, so that writes go to all region servers from the
    /// first day. Regions split further as they grow
    #[arg(long, default_value_t = DEFAULT_REGIONS, value_parser = value_parser!(u16).range(1..=MOST_REGIONS as i64))]
    regions: u16,
}

impl SchemaArgs {
    /// The flags of the configuration.
    pub fn flags(&self) -> Flags {
        match &self.command {
            SchemaCommand::Print(schema) | SchemaCommand::Check(schema) => schema.config.flags(),
        }
    }
}

/// The text for standard output; an error if the tables differ or HBase can't be reached.
pub async fn run(args: &SchemaArgs, config: &HbaseConfig) -> Result<String> {
    match &args.command {
        SchemaCommand::Print(schema) => Ok(statements(&settings::hbase(config), schema.regions)),
        SchemaCommand::Check(schema) => check(config, schema.regions).await,
    }
}

async fn check(config: &HbaseConfig, regions: u16) -> Result<String> {
    let hbase = HBase::start(&settings::hbase(config))
        .context("can't start the threads of HBase's client")?;
    match hbase.check_schema(Some(regions)).await {
        Ok(()) => Ok("ok: all tables are as lakechat needs them\n".to_owned()),
        Err(differs @ SchemaError::Differs(_)) => Err(differs.into()),
        Err(SchemaError::Unavailable(error)) => {
            let servers = config.thrift.joined();
            let hint = format!(
                "HBase's Thrift server (hbase.thrift = {servers}) does not answer; \
                 is `hbase thrift start` running there, and does HBase itself answer?"
            );
            Err(anyhow::Error::new(error).context(hint))
        }
    }
}
