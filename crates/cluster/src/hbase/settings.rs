//! Settings of HBase.

use std::time::Duration;

/// The Thrift servers, the names of the tables, and the limits.
#[derive(Clone, Debug)]
pub struct HBaseSettings {
    /// Thrift servers (service Thrift1, buffered, binary), each `host:port`.
    pub servers: Vec<String>,
    /// The namespace of the tables.
    pub namespace: String,
    /// The prefix of the tables' names within the namespace.
    pub table_prefix: String,
    /// How long a call may take.
    pub timeout: Duration,
    /// Connections for reads, and as many again for writes.
    pub connections: usize,
}

impl HBaseSettings {
    /// Defaults for everything but the location.
    pub fn at(servers: &[&str], namespace: &str, table_prefix: &str) -> HBaseSettings {
        HBaseSettings {
            servers: servers.iter().map(|&server| server.to_owned()).collect(),
            namespace: namespace.to_owned(),
            table_prefix: table_prefix.to_owned(),
            timeout: Duration::from_secs(10),
            connections: 4,
        }
    }
}
