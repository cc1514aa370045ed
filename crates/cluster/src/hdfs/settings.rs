//! What may be chosen about the files in HDFS.

use std::path::PathBuf;
use std::time::Duration;

/// Where files lie, as whom they are written, and how long is waited for whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `hdfs://host:port` or `hdfs://service`.
    pub url: String,
    /// The folder that everything is kept in, from the root of HDFS on, without a slash at its end.
    pub root: String,
    /// As whom files are written; where Kerberos is used, the ticket decides.
    pub user: String,
    /// Where core-site.xml and hdfs-site.xml are; HADOOP_CONF_DIR unless given.
    pub conf_dir: Option<PathBuf>,
    /// How many times each block is kept; what the cluster is set to unless given.
    pub replication: Option<u32>,
    /// What operators call this server; drafts lie in a folder that begins with it.
    pub server: String,
    /// How long the NameNode may take to answer.
    pub answer: Duration,
    /// How long a DataNode may be silent before the next replica is tried.
    pub silence: Duration,
    /// How long a write may stand still before it is given up. More than the 60 seconds after which
    /// the library replaces a silent DataNode.
    pub stall: Duration,
    /// How often this server tells that it lives.
    pub beat_every: Duration,
    /// A server that was silent for so long may be dead. Many beats, as each can fail.
    pub dead_after: Duration,
}

impl Settings {
    /// The defaults for everything but the place and the server's name.
    pub fn at(url: &str, root: &str, server: &str) -> Settings {
        Settings {
            url: url.to_owned(),
            root: root.to_owned(),
            user: "lakechat".to_owned(),
            conf_dir: None,
            replication: None,
            server: server.to_owned(),
            answer: Duration::from_secs(15),
            silence: Duration::from_secs(10),
            stall: Duration::from_secs(90),
            beat_every: Duration::from_secs(30),
            dead_after: Duration::from_secs(300),
        }
    }

    /// Whether the NameNode is behind a name service, which has more than one.
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
        let is_service = |url| Settings::at(url, "/lakechat", "a").is_service();
        assert!(is_service("hdfs://cluster"));
        assert!(!is_service("hdfs://host:9000"));
        assert!(!is_service("hdfs://[::1]:9000"));
        assert!(is_service("hdfs://[::1]"));
    }
}
