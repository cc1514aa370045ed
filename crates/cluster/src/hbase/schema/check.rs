//! Compares the tables that there are with those that lakechat needs, as far as Thrift shows them.

use std::collections::{BTreeMap, BTreeSet};

use hbase_thrift::hbase::{ColumnDescriptor, THbaseSyncClient};

use super::super::client::Core;
use super::super::connection::Connection;
use super::super::error::Fault;
use super::super::tables::{Table, Tables, VERSIONS};
use lakechat_core::ports::PortError;

const PART: &str = "history";

/// How long cells are kept in HBase's terms: for ever.
const FOREVER: i32 = i32::MAX;

/// Why the tables can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// HBase can't be asked: they may well fit.
    #[error(transparent)]
    Away(PortError),
    /// They don't, or HBase won't tell.
    #[error("the tables in HBase are not those that lakechat needs:\n  {}", .0.join("\n  "))]
    Differs(Vec<String>),
}

pub(in crate::hbase) async fn check(core: &Core, regions: Option<u16>) -> Result<(), SchemaError> {
    let read = move |connection: &mut _, tables: &_| differences(connection, tables, regions);
    match core.read(read).await {
        Ok(differences) if differences.is_empty() => Ok(()),
        Ok(differences) => Err(SchemaError::Differs(differences)),
        Err(Fault::Broken(reason)) => Err(SchemaError::Differs(vec![reason])),
        Err(fault) => Err(SchemaError::Away(fault.into_port_error(PART))),
    }
}

fn differences(
    connection: &mut Connection,
    tables: &Tables,
    regions: Option<u16>,
) -> Result<Vec<String>, Fault> {
    let names = connection.call("getTableNames", |client| client.get_table_names())?;
    let names: BTreeSet<Vec<u8>> = names.into_iter().collect();
    let mut found = Vec::new();
    for table in Table::ALL {
        let name = tables.name(table);
        if !names.contains(name.as_bytes()) {
            found.push(format!(
                "table {name} is missing: `lakechat schema print` has the statement that makes it"
            ));
            continue;
        }
        let families = connection.call("getColumnDescriptors", |client| {
            client.get_column_descriptors(name.clone().into_bytes())
        })?;
        found.extend(in_families(&name, table, &families));
        if let Some(regions) = regions.filter(|_| table.is_spread()) {
            found.extend(in_regions(connection, &name, regions)?);
        }
    }
    Ok(found)
}

fn in_families(
    name: &str,
    table: Table,
    stands: &BTreeMap<Vec<u8>, ColumnDescriptor>,
) -> Vec<String> {
    let mut found = Vec::new();
    for family in table.families() {
        // Thrift names a family with the colon.
        let Some(family_stands) = stands.get(format!("{family}:").as_bytes()) else {
            found.push(format!(
                "table {name} has no family {family}: alter '{name}', {{NAME => '{family}', VERSIONS => {VERSIONS}}}"
            ));
            continue;
        };
        let versions = family_stands.max_versions.unwrap_or_default();
        if versions != VERSIONS {
            found.push(format!(
                "table {name}, family {family} keeps {versions} versions: alter '{name}', {{NAME => '{family}', VERSIONS => {VERSIONS}}}"
            ));
        }
        let ttl = family_stands.time_to_live.unwrap_or(FOREVER);
        if ttl != FOREVER {
            found.push(format!(
                "table {name}, family {family} forgets cells after {ttl} s, and cell timestamps are no times: alter '{name}', {{NAME => '{family}', TTL => 'FOREVER'}}"
            ));
        }
    }
    found
}

/// Regions split further as they grow, so there may be more.
fn in_regions(
    connection: &mut Connection,
    name: &str,
    regions: u16,
) -> Result<Option<String>, Fault> {
    let stand = connection.call("getTableRegions", |client| {
        client.get_table_regions(name.as_bytes().to_vec())
    })?;
    let too_few = stand.len() < usize::from(regions);
    Ok(too_few.then(|| {
        format!(
            "table {name} has {} regions, not {regions}: split it by hand (split '{name}', '80'), or check with --regions {}",
            stand.len(),
            stand.len()
        )
    }))
}
