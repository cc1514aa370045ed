//! The options of a session.

use std::sync::Arc;
use std::time::Duration;

use lakechat_core::domain::ChannelName;

/// The time since some fixed moment. It has to advance while the machine is suspended.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Timeouts and bounds of a session. The default suits an interactive client.
#[derive(Clone)]
pub struct Options {
    /// Longest first wait before a reconnect. It doubles with each failure.
    pub backoff_base: Duration,
    /// The longest wait at all.
    pub backoff_cap: Duration,
    /// A connection that lasted this long resets the backoff.
    pub steady_after: Duration,
    /// Timeout for opening the WebSocket, and again for the `welcome`.
    pub connect_timeout: Duration,
    /// A server counts as dead if it is silent for two ping intervals and this.
    pub silence_slack: Duration,
    /// Maximum number of posts without an answer; further calls of
    /// [`Session::post`](crate::Session::post) wait.
    pub outbox: usize,
    /// Maximum number of sends in flight.
    pub window: usize,
    /// Maximum number of events that wait for their owner. If there are more, the session stops
    /// reading. The server may then close it as slow; it resumes later, and nothing is lost.
    pub events: usize,
    /// The server may no longer recognise a retry of a post that was first sent longer ago than
    /// this; the protocol promises 5 minutes. It is sent again only after the resume has shown that
    /// the message does not exist.
    pub stale_after: Duration,
    /// Seed of the backoff's jitter.
    pub seed: u64,
    /// The channel that the session is mostly for. A load balancer may lead those of a channel to one
    /// server; the server itself ignores it.
    pub channel: Option<ChannelName>,
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            backoff_base: Duration::from_millis(250),
            backoff_cap: Duration::from_secs(30),
            steady_after: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            silence_slack: Duration::from_secs(5),
            outbox: 1_024,
            window: 64,
            events: 1_024,
            stale_after: Duration::from_secs(240),
            seed: rand::random(),
            channel: None,
            clock: Arc::new(boot_time),
        }
    }
}

/// Unlike `Instant`, it advances while the machine is suspended. So does the age of what the server
/// remembers.
fn boot_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.try_into()
        .expect("time since boot is neither negative nor out of range")
}
