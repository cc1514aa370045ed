//! The configuration of each of librdkafka's clients.

use std::time::Duration;

use rdkafka::ClientConfig;

use super::settings::KafkaSettings;

/// How long a record may be in flight. After that its send failed, and whether it was written is unknown.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a member of the archivers' group may miss heartbeats before its partitions go to others.
const SESSION: Duration = Duration::from_secs(10);

/// Records that a reader fetches ahead in each partition; their bytes are bounded apart.
const FETCHED_AHEAD: &str = "10000";

/// Defaults, over them the operator's options, and over both the options that correctness depends on
/// (which the configuration therefore refuses).
fn client(settings: &KafkaSettings, name: &str, own: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Nagle's algorithm would delay small requests by an acknowledgement of the one before.
    config.set("socket.nagle.disable", "true");
    config.set("socket.keepalive.enable", "true");
    // Finds a broker that is back within a second; by default the pause grows to ten.
    config.set("reconnect.backoff.max.ms", "1000");
    // Brokers close idle connections: not worth a line in the log.
    config.set("log.connection.close", "false");
    for (option, value) in &settings.options {
        config.set(option, value);
    }
    config.set("bootstrap.servers", &settings.brokers);
    config.set("client.id", format!("{}-{name}", settings.topic_prefix));
    for (option, value) in own {
        config.set(*option, *value);
    }
    config
}

/// The producer of the log: keeps the order of the calls, and writes each record once, to all in-sync
/// replicas.
pub(super) fn producer(settings: &KafkaSettings) -> ClientConfig {
    let kbytes = (settings.queue_bytes / 1024).max(1).to_string();
    let mut config = client(
        settings,
        "producer",
        &[
            ("acks", "all"),
            // Sequence numbers keep librdkafka's own retries from doubling or reordering records.
            ("enable.idempotence", "true"),
            // `PacedPublisher` decides which records wait for others.
            ("linger.ms", "0"),
            // Full: `publish` fails at once, and so does the send.
            ("queue.buffering.max.kbytes", &kbytes),
        ],
    );
    config.set("message.timeout.ms", SEND_TIMEOUT.as_millis().to_string());
    config.set("message.max.bytes", settings.batch_bytes().to_string());
    config
}

/// The producer of dead letters, which are rare.
pub(super) fn dead_letter_producer(settings: &KafkaSettings) -> ClientConfig {
    let own = [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        // No limit here: the topic's own decides.
        ("message.max.bytes", "1000000000"),
    ];
    let mut config = client(settings, "dead-letters", &own);
    config.set("message.timeout.ms", SEND_TIMEOUT.as_millis().to_string());
    config
}

/// The client that creates topics and reads their settings.
pub(super) fn admin(settings: &KafkaSettings) -> ClientConfig {
    client(settings, "admin", &[])
}

/// The client that queries offsets and metadata.
pub(super) fn metadata_client(settings: &KafkaSettings) -> ClientConfig {
    client(settings, "questions", &READING)
}

/// A reader of the log. librdkafka requires a group id to assign partitions; no group is joined, and
/// nothing is committed.
pub(super) fn reader(settings: &KafkaSettings) -> ClientConfig {
    let kbytes = (settings.fetch_bytes / 1024).max(1).to_string();
    let mut config = client(settings, "reader", &READING);
    config.set("group.id", format!("{}.reader", settings.topic_prefix));
    // Full: fetching pauses until records are taken.
    config.set("queued.max.messages.kbytes", kbytes);
    config.set("queued.min.messages", FETCHED_AHEAD);
    // Both pauses delay messages: librdkafka's defaults are 1,000 and 500 ms.
    config.set("fetch.queue.backoff.ms", "10");
    config.set("fetch.error.backoff.ms", "100");
    config.set("check.crcs", "true");
    // The topic existed when the reader was opened: if it is missing it was deleted, and is not about to
    // appear. By default librdkafka waits 30 s for it.
    config.set("topic.metadata.propagation.max.ms", "1000");
    config
}

/// A reader of another topic than the log, such as the one that names the installation: it is read to its
/// end.
pub(super) fn reader_to_end(settings: &KafkaSettings, name: &str) -> ClientConfig {
    let mut config = client(settings, name, &READING);
    config.set("group.id", format!("{}.reader", settings.topic_prefix));
    config.set("enable.partition.eof", "true");
    // Brokers show the end by an empty answer, for which they wait so long.
    config.set("fetch.wait.max.ms", "10");
    config
}

/// The member of the archivers' group.
pub(super) fn group_member(settings: &KafkaSettings) -> ClientConfig {
    let mut config = client(settings, "archiver", &READING);
    config.set("group.id", settings.archiver_group());
    config.set("session.timeout.ms", SESSION.as_millis().to_string());
    // When a server joins or leaves, only the partitions that have to move are revoked.
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config
}

/// A missing offset is an error; no reader ever skips to another one. Uncommitted records are read, too:
/// lakechat uses no transactions, and another client's open one must not hold up the log.
const READING: [(&str, &str); 6] = [
    ("allow.auto.create.topics", "false"),
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("isolation.level", "read_uncommitted"),
];
