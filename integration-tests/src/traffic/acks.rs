//! How many acks came, and when none came for long.

use std::time::Duration;

use tokio::time::Instant;

/// Shorter pauses are not kept.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub struct Acks {
    pub count: u64,
    last: Option<Instant>,
    /// Pauses by their ends.
    pauses: Vec<(Instant, Duration)>,
}

impl Acks {
    pub fn add(&mut self) {
        let now = Instant::now();
        let paused = self.last.map_or(Duration::ZERO, |last| now - last);
        if paused >= PAUSE {
            self.pauses.push((now, paused));
        }
        self.count += 1;
        self.last = Some(now);
    }

    /// The longest pause that ended after a moment; zero if none was worth keeping.
    pub fn longest_pause(&self, since: Instant) -> Duration {
        let pauses = self.pauses.iter().filter(|(end, _)| *end > since);
        pauses.map(|(_, paused)| *paused).max().unwrap_or_default()
    }
}
