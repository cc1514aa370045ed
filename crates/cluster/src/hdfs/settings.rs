//! Settings of the files in HDFS.

use std::path::PathBuf;
use std::time::Duration;

/// Where files lie, as which user they are written, and the time limits.
#[derive(Clone, Debug)]
pub struct HdfsSettings {
    /// `hdfs://host:port` or `hdfs://service`.
    pub url: String,
    /// The absolute path of the folder that holds everything, without a slash at its end.
    pub root: String,
    /// The user that files are written as. With Kerberos, the ticket decides instead.
    pub user: String,
    /// The folder of core-site.xml and hdfs-site.xml; HADOOP_CONF_DIR unless given.
    pub conf_dir: Option<PathBuf>,
    /// Replicas of each block; the cluster's default unless given.
    pub replication: Option<u32>,
    /// This server's id: the folder of its drafts begins with it.
    pub server: String,
    /// How long a call to the NameNode may take.
    pub call_timeout: Duration,
    /// How long a DataNode may be silent before the next replica is tried.
    pub data_node_timeout: Duration,
    /// How long a write may make no progress before it fails. More than the 60 seconds after which the
    /// library replaces a silent DataNode.
    pub stall_timeout: Duration,
    /// How often this server shows that it is alive.
    pub heartbeat_interval: Duration,
    /// How long a server must be silent to be taken for dead: many heartbeats, as each of them can fail.
    pub dead_after: Duration,
}

impl HdfsSettings {
    /// Defaults for everything but the location and the server's id.
    pub fn at(url: &str, root: &str, server: &str) -> HdfsSettings {
        HdfsSettings {
            url: url.to_owned(),
            root: root.to_owned(),
            user: "lakechat".to_owned(),
            conf_dir: None,
            replication: None,
            server: server.to_owned(),
            call_timeout: Duration::from_secs(15),
            data_node_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(90),
            heartbeat_interval: Duration::from_secs(30),
            dead_after: Duration::from_secs(300),
        }
    }

    /// Whether `url` names a name service, which has several NameNodes.
    pub(super) fn is_service(&self) -> bool {
        let host = self.url.trim_start_matches("hdfs://");
        let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        !matches!(port, Some(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_port_is_a_service() {
        let is_service = |url| HdfsSettings::at(url, "/lakechat", "a").is_service();
        assert!(is_service("hdfs://cluster"));
        assert!(!is_service("hdfs://host:9000"));
        assert!(!is_service("hdfs://[::1]:9000"));
        assert!(is_service("hdfs://[::1]"));
    }
}
