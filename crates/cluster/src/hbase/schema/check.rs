//! Compares existing tables with those that lakechat needs, as far as Thrift describes them.

use std::collections::{BTreeMap, BTreeSet};

use hbase_thrift::hbase::{ColumnDescriptor, THbaseSyncClient};

use super::super::client::Client;
use super::super::connection::Connection;
use super::super::error::HBaseError;
use super::super::tables::{Table, Tables, VERSIONS};
use lakechat_core::ports::PortError;

const PART: &str = "history";

/// The TTL of cells that HBase keeps for ever.
const FOREVER: i32 = i32::MAX;

/// The tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// HBase could not be reached, so nothing is known of them.
    #[error(transparent)]
    Unavailable(PortError),
    /// They differ from the schema, or HBase refuses to describe them.
    #[error("the tables in HBase are not those that lakechat needs:\n  {}", .0.join("\n  "))]
    Differs(Vec<String>),
}

pub(in crate::hbase) async fn check(
    client: &Client,
    regions: Option<u16>,
) -> Result<(), SchemaError> {
    let read = move |connection: &mut _, tables: &_| differences(connection, tables, regions);
    match client.read(read).await {
        Ok(differences) if differences.is_empty() => Ok(()),
        Ok(differences) => Err(SchemaError::Differs(differences)),
        Err(HBaseError::Broken(reason)) => Err(SchemaError::Differs(vec![reason])),
        Err(error) => Err(SchemaError::Unavailable(error.into_port_error(PART))),
    }
}

fn differences(
    connection: &mut Connection,
    tables: &Tables,
    regions: Option<u16>,
) -> Result<Vec<String>, HBaseError> {
    let names = connection.call("getTableNames", |client| client.get_table_names())?;
    let names: BTreeSet<Vec<u8>> = names.into_iter().collect();
    let mut differences = Vec::new();
    for table in Table::ALL {
        let name = tables.name(table);
        if !names.contains(name.as_bytes()) {
            differences.push(format!(
                "table {name} is missing: `lakechat schema print` has the statement that creates it"
            ));
            continue;
        }
        let families = connection.call("getColumnDescriptors", |client| {
            client.get_column_descriptors(name.clone().into_bytes())
        })?;
        differences.extend(in_families(&name, table, &families));
        if let Some(regions) = regions.filter(|_| table.is_spread()) {
            differences.extend(in_regions(connection, &name, regions)?);
        }
    }
    Ok(differences)
}

fn in_families(
    name: &str,
    table: Table,
    families: &BTreeMap<Vec<u8>, ColumnDescriptor>,
) -> Vec<String> {
    let mut differences = Vec::new();
    for family in table.families() {
        // Thrift appends a colon to the names of families.
        let Some(existing) = families.get(format!("{family}:").as_bytes()) else {
            differences.push(format!(
                "table {name} has no family {family}: alter '{name}', {{NAME => '{family}', VERSIONS => {VERSIONS}}}"
            ));
            continue;
        };
        let versions = existing.max_versions.unwrap_or_default();
        if versions != VERSIONS {
            differences.push(format!(
                "table {name}, family {family} keeps {versions} versions: alter '{name}', {{NAME => '{family}', VERSIONS => {VERSIONS}}}"
            ));
        }
        let ttl = existing.time_to_live.unwrap_or(FOREVER);
        if ttl != FOREVER {
            differences.push(format!(
                "table {name}, family {family} has a TTL of {ttl} s, and cell timestamps are not times: alter '{name}', {{NAME => '{family}', TTL => 'FOREVER'}}"
            ));
        }
    }
    differences
}

/// Regions split further as they grow, so more are fine.
fn in_regions(
    connection: &mut Connection,
    name: &str,
    regions: u16,
) -> Result<Option<String>, HBaseError> {
    let existing = connection.call("getTableRegions", |client| {
        client.get_table_regions(name.as_bytes().to_vec())
    })?;
    let too_few = existing.len() < usize::from(regions);
    Ok(too_few.then(|| {
        format!(
            "table {name} has {} regions, not {regions}: split it by hand (split '{name}', '80'), or check with --regions {}",
            existing.len(),
            existing.len()
        )
    }))
}
