//! How a session behaves.

use std::sync::Arc;
use std::time::Duration;

/// Tells time since some moment; goes on while the machine sleeps.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How a session behaves. The default is what a person's client wants.
#[derive(Clone)]
pub struct Options {
    /// The span of the first wait before a reconnect; it doubles with each failure.
    pub backoff_base: Duration,
    /// The longest such span.
    pub backoff_cap: Duration,
    /// A connection that stood this long ends the growth of the waits.
    pub steady_after: Duration,
    /// How long opening a connection, up to its `welcome`, may take.
    pub connect_timeout: Duration,
    /// Beyond two silent ping intervals, how long until a server counts as dead.
    pub silence_slack: Duration,
    /// Posts without an answer; [`Session::post`] waits while there are as many.
    pub outbox: usize,
    /// Sends in flight at once.
    pub window: usize,
    /// Events not taken yet. When full the session reads nothing more from its socket, and the
    /// server may close it as slow: nothing is lost, it resumes.
    pub events: usize,
    /// A post first tried longer ago than this is sent again only after the resume has shown that
    /// it isn't there: the server's window may have forgotten it. The protocol promises 5 minutes.
    pub stale_after: Duration,
    /// Decides the jitter.
    pub seed: u64,
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
            clock: Arc::new(boot_time),
        }
    }
}

/// `Instant` stands still while the machine sleeps; what the server remembers doesn't.
fn boot_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.try_into()
        .expect("time since boot is neither negative nor out of range")
}
