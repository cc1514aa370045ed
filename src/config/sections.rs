//! Every key of the configuration.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::addresses::{HdfsPath, HdfsUrl, HostPorts, RedisUrl};
use super::kafka_options::KafkaOptions;
use super::names::{
    HdfsUser, HostName, Namespace, RedisPrefix, ServerId, TablePrefix, TopicPrefix,
};
use super::section::section;
use super::setting::TextSetting;
use super::values::{LogFilter, LogFormat, Mode, Origin, PublicUrl, Registration};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// A default that is written as a text.
fn text<T: TextSetting>(text: &str) -> T {
    T::parse(text).expect("a default is allowed")
}

/// A rate or count so high that it never limits anything in practice.
const MOST: u64 = 1_000_000;

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

section! {
    /// The keys outside any section.
    TopLevel "" {
        /// "embedded": one process that keeps everything in one folder. "cluster": one of several
        /// servers on Kafka, HBase, HDFS and Redis.
        mode: Mode = Mode::Embedded;
        /// The address on which clients connect. Port 0 picks a free port.
        listen: SocketAddr = LOCAL;
        /// The data folder. In embedded mode it holds everything. In cluster mode it holds only the
        /// signing key, unless auth.secret_file is given.
        data_dir: PathBuf = PathBuf::from("./lakechat-data");
        /// Which events are logged.
        log: LogFilter = LogFilter::info();
        /// The format of the log: "text" for people, "json" for one JSON object per line.
        log_format: LogFormat = LogFormat::Text;
    }
}

section! {
    /// This server: its name, addresses, connections and timeouts.
    ServerConfig "server." {
        /// The name under which clients and presence show this server. Default: the host name.
        id: Option<ServerId> = None;
        /// The URL at which clients reach the service; links to files begin with it. Default: taken
        /// from each request.
        public_url: Option<PublicUrl> = None;
        /// Other web origins whose pages may open a WebSocket. The server's own origin always may.
        allowed_origins: Vec<Origin> = Vec::new();
        /// Host names that the service answers for, beside IP addresses, localhost and the host of
        /// public_url. Requests to other names get 421.
        allowed_hosts: Vec<HostName> = Vec::new();
        /// Proxies whose X-Forwarded-For header is trusted. Default: no proxy.
        trusted_proxies: Vec<IpNet> = Vec::new();
        /// A separate address for /metrics, /healthz and /readyz, whose connections don't count
        /// against max_connections. Default: /metrics is served on the address in `listen`.
        metrics_listen: Option<SocketAddr> = None;
        /// Maximum number of open connections, WebSockets included. Further connections wait in the
        /// kernel's backlog.
        max_connections: usize = 20_000, 1..=1_000_000;
        /// Maximum number of open connections from one address (IPv6: one /64). Further ones are
        /// dropped. Does not apply to trusted proxies. 0 turns it off.
        max_connections_per_peer: usize = 2_000, 0..=1_000_000;
        /// Timeout for the headers of a request, and for an idle connection between two requests,
        /// in ms.
        header_timeout_ms: u64 = 10_000, 10..=600_000;
        /// Timeout while no byte of a request's body arrives, in ms. Then: 408.
        body_timeout_ms: u64 = 30_000, 10..=600_000;
        /// Timeout while a client accepts no byte of its response, in ms. Then the connection is
        /// closed.
        write_timeout_ms: u64 = 60_000, 10..=600_000;
        /// Minimum transfer rate of a request's body and of a response, in bytes per second. It is
        /// averaged over body_timeout_ms or write_timeout_ms of waiting for the client. 0 turns it
        /// off.
        min_bytes_per_second: u64 = 1024, 0..=MIB;
        /// How long a server that shuts down waits for sessions and transfers to end, in seconds.
        /// Whatever is left then is cut.
        drain_seconds: u64 = 25, 0..=3_600;
    }
}

section! {
    /// The log in cluster mode.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "for cluster mode"))]
    KafkaConfig "kafka." {
        /// Bootstrap servers.
        brokers: HostPorts = text("127.0.0.1:9092");
        /// Prefix of the names of topics and consumer groups.
        topic_prefix: TopicPrefix = text("lakechat");
        /// Options for librdkafka, such as security.protocol, sasl.mechanisms or ssl.ca.location.
        options: KafkaOptions = KafkaOptions::default();
    }
}

section! {
    /// History and directory in cluster mode.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "for cluster mode"))]
    HbaseConfig "hbase." {
        /// HBase Thrift servers (Thrift 1, buffered transport, binary protocol).
        thrift: HostPorts = text("127.0.0.1:9090");
        /// Namespace of the tables.
        namespace: Namespace = text("lakechat");
        /// Prefix of the tables' names, if several clusters of lakechat share a namespace.
        table_prefix: TablePrefix = TablePrefix::default();
        /// Timeout of a call to HBase, in ms.
        timeout_ms: u64 = 10_000, 100..=600_000;
        /// Connections for reads; there are as many again for writes.
        connections: usize = 4, 1..=64;
    }
}

section! {
    /// Files in cluster mode.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "for cluster mode"))]
    HdfsConfig "hdfs." {
        /// The NameNode, or a name service that is defined in conf_dir.
        url: HdfsUrl = text("hdfs://127.0.0.1:9000");
        /// The folder in HDFS that holds all files.
        root: HdfsPath = text("/lakechat");
        /// The user who writes the files. With Kerberos the ticket decides instead.
        user: HdfsUser = text("lakechat");
        /// The folder with core-site.xml and hdfs-site.xml. Default: HADOOP_CONF_DIR.
        conf_dir: Option<PathBuf> = None;
        /// Replicas of each block. Default: what HDFS is configured with.
        replication: Option<u32> = None, 1..=512;
    }
}

section! {
    /// Presence in cluster mode.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "for cluster mode"))]
    RedisConfig "redis." {
        /// The Redis server.
        url: RedisUrl = RedisUrl::default();
        /// Prefix of all keys.
        prefix: RedisPrefix = text("lakechat:");
        /// How long the sessions of a server that died are still shown, in ms. A running server
        /// refreshes its sessions three times in this period.
        presence_deadline_ms: u64 = 30_000, 1_000..=600_000;
    }
}

section! {
    /// Accounts and tokens.
    AuthConfig "auth." {
        /// File with the key that signs tokens: at least 32 bytes, not counting one newline at the
        /// end. Default: lakechat.key in data_dir. In embedded mode the first start creates it. In
        /// cluster mode it has to exist, and to be the same on all servers.
        secret_file: Option<PathBuf> = None;
        /// Lifetime of an access token, in seconds.
        access_token_seconds: u64 = 900, 1..=86_400;
        /// Lifetime of a login that is not used, in seconds. Each refresh restarts it.
        refresh_token_seconds: u64 = 2_592_000, 1..=31_536_000;
        /// Lifetime of a login, in seconds, however often it is refreshed. Then the user has to enter the
        /// password again.
        login_max_seconds: u64 = 7_776_000, 1..=315_360_000;
        /// Who may register an account: "open" for whoever reaches the server, "invite" for whoever has an
        /// invite of an admin, "closed" for nobody, so that admins make the accounts. Default: open if `listen` is a loopback
        /// address, closed otherwise.
        registration: Option<Registration> = None;
    }
}

section! {
    /// Uploaded files.
    FilesConfig "files." {
        /// Maximum size of a file, in bytes. Larger uploads are refused.
        max_bytes: u64 = 10 * GIB, 1..=1024 * GIB;
        /// Files up to this size are stored in their row of the directory, larger ones in the file
        /// store; in bytes.
        inline_bytes: usize = 65_536, 0..=4 * MIB;
        /// Bytes of a resumable upload that are received before they are stored. A client sends at most
        /// as many again after the server has died.
        part_bytes: u64 = 64 * MIB, MIB..=GIB;
        /// How long a resumable upload is kept while nothing arrives, in seconds.
        upload_expiry_seconds: u64 = 86_400, 1..=31_536_000;
        /// Uploads, downloads and HTTP pages of history that may be under way, of all users
        /// together. Each takes up to 1 MiB of memory. 0 turns it off.
        transfers: usize = 500, 0..=MOST;
    }
}

section! {
    /// Limits per user, channel and address. Rates are per second, with bursts of five times as
    /// many. 0 turns a limit off.
    LimitsConfig "limits." {
        /// Messages that a user may send per second; five times as many in a burst. 0 turns it off.
        sends_per_user: u32 = 20, 0..=MOST;
        /// Messages that a channel takes per second; five times as many in a burst. 0 turns it off.
        sends_per_channel: u32 = 200, 0..=MOST;
        /// HTTP calls with a token, joins and pages of history of a user per second; five times as
        /// many in a burst. A page counts as five. 0 turns it off.
        requests_per_user: u32 = 100, 0..=MOST;
        /// Uploads, downloads and HTTP pages of history that a user may have under way. 0 turns it
        /// off.
        transfers_per_user: usize = 16, 0..=MOST;
        /// WebSockets that an address may open per second; five times as many in a burst. 0 turns
        /// it off.
        connects_per_address: u32 = 50, 0..=MOST;
        /// Logins and registrations from an address per second; five times as many in a burst. 0
        /// turns it off.
        logins_per_address: u32 = 5, 0..=MOST;
        /// WebSockets that a user may have open. 0 turns it off.
        connections_per_user: u32 = 100, 0..=MOST;
        /// WebSockets that may be open from an address. 0 turns it off.
        connections_per_address: u32 = 1000, 0..=MOST;
    }
}

section! {
    /// Sessions, and the memory and storage of messages.
    ChatConfig "chat." {
        /// Interval of pings to a session, in ms. A session that is silent for two intervals is
        /// closed.
        ping_ms: u64 = 25_000, 50..=300_000;
        /// Maximum size of a frame from a client, in bytes. A larger one closes the session.
        frame_bytes: usize = 65_536, KIB..=16 * MIB;
        /// Maximum size of a message's text, in bytes of UTF-8. Has to be at least 512 below
        /// frame_bytes.
        text_bytes: usize = 16_384, 1..=MIB;
        /// Channels that one session may join.
        channels: usize = 128, 1..=10_000;
        /// Channels that a user may join or create, those left included. A server reads all of them
        /// when the user connects.
        channels_per_user: usize = 10_000, 1..=100_000;
        /// Live frames that may wait for a client. If there are more, the session gets them from
        /// the log later, at the client's speed.
        queue_frames: usize = 1024, 16..=1_000_000;
        /// Memory for recent messages, from which reads are answered without a query; in bytes.
        tail_bytes: usize = 256 * MIB as usize, MIB..=1024 * GIB;
        /// Memory for the recognition of retries, in bytes. When it is full, sends are refused.
        window_bytes: usize = 512 * MIB as usize, MIB..=1024 * GIB;
        /// Memory for pages of history and resumed messages until clients have received them, in
        /// bytes. A user may hold an eighth of it.
        read_bytes: usize = 64 * MIB as usize, 16 * MIB..=1024 * GIB;
        /// Memory for live frames that wait for slow sessions, of all sessions together, in bytes.
        /// As it fills, each session's queue gets shorter.
        live_bytes: usize = 64 * MIB as usize, MIB..=1024 * GIB;
        /// Maximum number of a partition's rows in a batch that is written to history.
        archive_batch_rows: usize = 1000, 1..=100_000;
        /// How long a row waits for its batch to fill, in ms.
        archive_batch_ms: u64 = 200, 0..=10_000;
        /// How long the sender of a message may edit or delete it, in seconds; owners and admins of the
        /// channel may at any time. 0 turns the limit off.
        edit_window_seconds: u64 = 900, 0..=31_536_000;
        /// Partitions of the log. Only has an effect when the log is created.
        partitions: u16 = 16, 1..=1024;
    }
}
