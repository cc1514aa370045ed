//! What the composition root chooses about the embedded back ends.

use std::time::Duration;

/// Settings of an open data folder.
#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    /// Partitions of the log. Counts only when the data folder is created; an existing one keeps
    /// its number.
    pub partitions: u16,
    /// How far before each partition's mark the log is kept: the fold's warm-up, which only chat
    /// knows. By default nothing is trimmed.
    pub warm_up: Duration,
    /// Bound on records queued for the writer, in bytes. Above it, `publish` is refused.
    pub queue_bytes: usize,
    /// Bound on committed records kept in memory for readers near the log's end, in bytes. Older
    /// records are read from the disk.
    pub recent_bytes: usize,
    /// How long a transaction waits for another process's lock on the database before it fails
    /// with `SQLITE_BUSY`.
    pub busy_timeout: Duration,
    /// Connections for reading: at most this many reads run at a time, further ones wait.
    pub read_connections: usize,
    /// Pause between two runs of the maintenance thread, which trims the log and removes expired
    /// login sessions.
    pub maintenance_interval: Duration,
}

impl Default for EmbeddedSettings {
    fn default() -> EmbeddedSettings {
        EmbeddedSettings {
            partitions: 16,
            warm_up: Duration::MAX,
            queue_bytes: 16 << 20,
            recent_bytes: 8 << 20,
            busy_timeout: Duration::from_secs(5),
            read_connections: 4,
            maintenance_interval: Duration::from_secs(60),
        }
    }
}
