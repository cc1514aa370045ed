//! How long a peer may do nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A limit on one uninterrupted wait.
///
/// It is polled on every `Pending`, so it resets its timer only when that fires: a transfer that
/// waits before each chunk would otherwise spend more time on timers than on bytes.
#[derive(Debug)]
pub struct StallTimer {
    limit: Duration,
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl StallTimer {
    pub fn new(limit: Duration) -> StallTimer {
        StallTimer {
            limit,
            since: None,
            alarm: None,
        }
    }

    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Starts a wait unless one is in progress; ready once it has lasted for the limit.
    pub fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
    }

    /// Ends the wait, because the peer did something. Returns how long it lasted.
    pub fn end_wait(&mut self) -> Duration {
        let since = self.since.take();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn has_expired(timer: &mut StallTimer) -> bool {
        poll_fn(|cx| Poll::Ready(timer.poll_stalled(cx).is_ready())).await
    }

    #[tokio::test]
    async fn a_wait_ends_at_its_limit_and_the_next_starts_anew() {
        let limit = Duration::from_secs(3600);
        let mut timer = StallTimer::new(limit);
        assert!(!has_expired(&mut timer).await);
        // As if the wait had begun an hour ago.
        timer.since = Instant::now().checked_sub(limit);
        timer.alarm = None;
        poll_fn(|cx| timer.poll_stalled(cx)).await;
        assert!(timer.end_wait() >= limit);
        assert_eq!(timer.end_wait(), Duration::ZERO, "there was no wait");
        assert!(!has_expired(&mut timer).await);
    }
}
