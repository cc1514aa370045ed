//! All keys there are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::addresses::{HdfsPath, HdfsUrl, HostPorts, RedisUrl};
use super::kafka_options::Options;
use super::names::{Name, Namespace, RedisPrefix, ServerId, TablePrefix};
use super::section::section;
use super::setting::TextSetting;
use super::values::{LogFilter, LogFormat, Mode, Origin, PublicUrl};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// A default that is a text with rules.
fn text<T: TextSetting>(text: &str) -> T {
    T::parse(text).expect("a default is allowed")
}

/// As many a second is no limit in practice.
const MOST_A_SECOND: u64 = 1_000_000;

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

section! {
    /// What stands above the sections.
    Top "" {
        /// What the server stands on: "embedded" is one process and one folder, "cluster" is Kafka,
        /// HBase, HDFS and Redis.
        mode: Mode = Mode::Embedded;
        /// Where people connect. Port 0 is any free one.
        listen: SocketAddr = LOCAL;
        /// The folder that everything is kept in; in the cluster mode the signing key, unless
        /// auth.secret_file is given.
        data_dir: PathBuf = PathBuf::from("./lakechat-data");
        /// Which events are logged.
        log: LogFilter = LogFilter::info();
        /// How events are written: "text" is for people, "json" one object a line.
        log_format: LogFormat = LogFormat::Text;
    }
}

section! {
    /// This server, as others see and reach it.
    Server "server." {
        /// What this server is called before clients; the host name unless given.
        id: Option<ServerId> = None;
        /// Where clients reach the service; taken from each request unless given.
        public_url: Option<PublicUrl> = None;
        /// Origins whose web pages may open a chat, beside the server's own.
        allowed_origins: Vec<Origin> = Vec::new();
        /// Proxies whose X-Forwarded-For counts; none unless given.
        trusted_proxies: Vec<IpNet> = Vec::new();
        /// A listener of its own for /metrics; on the common one unless given.
        metrics_listen: Option<SocketAddr> = None;
        /// Open connections; over it the next ones wait.
        max_connections: usize = 20_000, 1..=1_000_000;
        /// Open connections of one address that is no trusted proxy; over it the next ones are
        /// dropped. 0 is off.
        max_connections_per_peer: usize = 2_000, 0..=1_000_000;
        /// How long the headers of a request may take, and how long a connection may be idle
        /// between two, in ms.
        header_timeout_ms: u64 = 10_000, 10..=600_000;
        /// How long nothing of a body may come, in ms.
        body_timeout_ms: u64 = 30_000, 10..=600_000;
        /// How long a client may take nothing of its answer, in ms.
        write_timeout_ms: u64 = 60_000, 10..=600_000;
        /// What a client has to send of a body, or take of an answer, a second, in bytes: on average
        /// over body_timeout_ms, or write_timeout_ms, of waiting for it. 0 is off.
        min_bytes_per_second: u64 = 1024, 0..=MIB;
        /// How long a stopping server lets sessions and transfers end, in seconds.
        drain_seconds: u64 = 25, 0..=3_600;
    }
}

section! {
    /// The log of the cluster mode.
    Kafka "kafka." {
        /// Some brokers of the cluster.
        brokers: HostPorts = text("127.0.0.1:9092");
        /// What the names of topics and groups begin with.
        topic_prefix: Name = text("lakechat");
        /// Handed to librdkafka as they are, for security.protocol, sasl.mechanisms, ssl.ca.location
        /// and the like.
        options: Options = Options::default();
    }
}

section! {
    /// History and directory of the cluster mode.
    Hbase "hbase." {
        /// Thrift servers of HBase (service Thrift1, buffered, binary).
        thrift: HostPorts = text("127.0.0.1:9090");
        /// The namespace of the tables.
        namespace: Namespace = text("lakechat");
        /// What the names of the tables begin with, for several lakechats in one namespace.
        table_prefix: TablePrefix = TablePrefix::default();
        /// How long an answer may take, in ms.
        timeout_ms: u64 = 10_000, 100..=600_000;
        /// Connections for reads, and as many for writes.
        connections: usize = 4, 1..=64;
    }
}

section! {
    /// Files of the cluster mode.
    Hdfs "hdfs." {
        /// The name node, or a name service that conf_dir describes.
        url: HdfsUrl = text("hdfs://127.0.0.1:9000");
        /// The folder in HDFS that all files are kept in.
        root: HdfsPath = text("/lakechat");
        /// As whom files are written; where Kerberos is used, the ticket decides.
        user: Name = text("lakechat");
        /// The folder with core-site.xml and hdfs-site.xml; HADOOP_CONF_DIR unless given.
        conf_dir: Option<PathBuf> = None;
        /// How many times each block is kept; what the cluster is set to unless given.
        replication: Option<u32> = None, 1..=512;
    }
}

section! {
    /// Presence and common limits of the cluster mode.
    Redis "redis." {
        /// The server.
        url: RedisUrl = RedisUrl::default();
        /// What all keys begin with.
        prefix: RedisPrefix = text("lakechat:");
        /// How long the sessions of a server that died are shown, in ms; a living one says three
        /// times as often that they live.
        presence_deadline_ms: u64 = 30_000, 1_000..=600_000;
    }
}

section! {
    /// Logins.
    Auth "auth." {
        /// The key that signs tokens: any bytes, at least 32, one newline at the end aside. The
        /// file lakechat.key in data_dir unless given; in the embedded mode made at the first
        /// start. All servers of a cluster have the same one, and make none.
        secret_file: Option<PathBuf> = None;
        /// How long an access token is good, in seconds.
        access_token_seconds: u64 = 900, 1..=86_400;
        /// How long a login lasts without being used, in seconds; each refresh begins it anew.
        refresh_token_seconds: u64 = 2_592_000, 1..=31_536_000;
    }
}

section! {
    /// Files that people exchange.
    Files "files." {
        /// The largest file that is taken, in bytes.
        max_bytes: u64 = 10 * GIB, 1..=1024 * GIB;
        /// The largest file that is kept in its row and not as a file of its own, in bytes.
        inline_bytes: usize = 65_536, 0..=4 * MIB;
    }
}

section! {
    /// How often, and how much at once. 0 is off; what is said a second allows bursts of five
    /// seconds' worth.
    Limits "limits." {
        /// Messages that a user may send a second.
        sends_per_user: u32 = 20, 0..=MOST_A_SECOND;
        /// Messages that a channel takes a second.
        sends_per_channel: u32 = 200, 0..=MOST_A_SECOND;
        /// Chats that may be opened a second from an address.
        connects_per_address: u32 = 50, 0..=MOST_A_SECOND;
        /// Logins and registrations a second from an address.
        logins_per_address: u32 = 5, 0..=MOST_A_SECOND;
        /// Chats that a user may have open.
        connections_per_user: u32 = 100, 0..=MOST_A_SECOND;
        /// Chats that may be open from an address.
        connections_per_address: u32 = 1000, 0..=MOST_A_SECOND;
    }
}

section! {
    /// Chat.
    Chat "chat." {
        /// How often a session is pinged, in ms; one that is silent for twice as long is closed.
        ping_ms: u64 = 25_000, 50..=300_000;
        /// The largest frame that a client may send, in bytes.
        frame_bytes: usize = 65_536, KIB..=16 * MIB;
        /// The longest text of a message, in bytes of UTF-8; has to fit into a frame.
        text_bytes: usize = 16_384, 1..=MIB;
        /// Channels that a session may have joined at once.
        channels: usize = 128, 1..=10_000;
        /// Frames that wait for a session; one that is slower is closed and comes back.
        queue_frames: usize = 1024, 16..=1_000_000;
        /// Memory for recent records that reads are answered from, in bytes.
        tail_bytes: usize = 256 * MIB as usize, MIB..=1024 * GIB;
        /// Memory for knowing retries, in bytes; when it is full, sends are refused.
        window_bytes: usize = 512 * MIB as usize, MIB..=1024 * GIB;
        /// Rows that are stored in history at once.
        archive_batch_rows: usize = 1000, 1..=100_000;
        /// How long a row waits for others to be stored with, in ms.
        archive_batch_ms: u64 = 200, 0..=10_000;
        /// Partitions of the log; counts only when the log is made.
        partitions: u16 = 16, 1..=1024;
    }
}
