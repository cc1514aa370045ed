//! How each of librdkafka's clients is set up.

use std::time::Duration;

use rdkafka::ClientConfig;

use super::settings::Settings;

/// How long a record may be on its way until it is given up: what became of it is unknown then.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(15);

/// A server that storing partitions has not heard from for so long is taken for dead.
const SESSION: Duration = Duration::from_secs(10);

/// Records that a reader fetches ahead in a partition, whatever their size.
const FETCHED_AHEAD: &str = "10000";

/// What all clients have in common: defaults, the operator's options, and over both what promises
/// stand on (which the configuration refuses as options).
fn client(settings: &Settings, name: &str, own: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("socket.nagle.disable", "true");
    config.set("socket.keepalive.enable", "true");
    // A broker that is back is found within a second; librdkafka's own pause grows to ten.
    config.set("reconnect.backoff.max.ms", "1000");
    // Brokers close idle connections; that is no news.
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

/// Who publishes: in the order of the calls, each record once, acked by all replicas in sync.
pub(super) fn producer(settings: &Settings) -> ClientConfig {
    let kbytes = (settings.queue_bytes / 1024).max(1).to_string();
    let mut config = client(
        settings,
        "producer",
        &[
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("linger.ms", "1"),
            // Full: `publish` refuses, and the sender is told at once.
            ("queue.buffering.max.kbytes", &kbytes),
        ],
    );
    config.set("message.timeout.ms", SEND_TIMEOUT.as_millis().to_string());
    config.set("message.max.bytes", settings.batch_bytes().to_string());
    config
}

/// Who keeps dead letters: rare, one call at a time.
pub(super) fn dead_letter_producer(settings: &Settings) -> ClientConfig {
    let own = [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        // The topic's own limit decides.
        ("message.max.bytes", "1000000000"),
    ];
    let mut config = client(settings, "dead-letters", &own);
    config.set("message.timeout.ms", SEND_TIMEOUT.as_millis().to_string());
    config
}

/// Who makes and looks at topics.
pub(super) fn admin(settings: &Settings) -> ClientConfig {
    client(settings, "admin", &[])
}

/// Who asks for offsets. It needs no group.
pub(super) fn asker(settings: &Settings) -> ClientConfig {
    client(settings, "questions", &READING)
}

/// Who reads. librdkafka wants a group to assign partitions; nobody joins it, and nothing is
/// committed there.
pub(super) fn reader(settings: &Settings) -> ClientConfig {
    let kbytes = (settings.fetch_bytes / 1024).max(1).to_string();
    let mut config = client(settings, "reader", &READING);
    config.set("group.id", format!("{}.reader", settings.topic_prefix));
    // Full: fetching waits until records are taken.
    config.set("queued.max.messages.kbytes", kbytes);
    config.set("queued.min.messages", FETCHED_AHEAD);
    config.set("fetch.queue.backoff.ms", "10");
    config.set("fetch.error.backoff.ms", "100");
    config.set("check.crcs", "true");
    // The topic was there when it was opened: one that is not is no news under way.
    config.set("topic.metadata.propagation.max.ms", "1000");
    config
}

/// Who says which partitions are this server's to store.
pub(super) fn claimant(settings: &Settings) -> ClientConfig {
    let mut config = client(settings, "archiver", &READING);
    config.set("group.id", settings.archiver_group());
    config.set("session.timeout.ms", SESSION.as_millis().to_string());
    // A server that comes or goes moves only what has to move.
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config
}

/// An offset that is gone is an error and never a jump. The log has no transactions: who sees what
/// must not depend on somebody else's that is open.
const READING: [(&str, &str); 6] = [
    ("allow.auto.create.topics", "false"),
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("isolation.level", "read_uncommitted"),
];
