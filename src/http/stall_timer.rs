//! How long one waits for a peer to do anything at all.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A limit on one uninterrupted wait.
///
/// It is asked on every `Pending`, so its timer is set again only when it fires: a transfer that
/// waits between any two chunks would otherwise spend more on timers than on bytes.
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

    /// Starts the wait if none is under way; ready once it has lasted for the limit.
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

    /// The peer did something: the next wait starts anew. Tells how long this one was.
    pub fn restore(&mut self) -> Duration {
        let since = self.since.take();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn is_lost(patience: &mut StallTimer) -> bool {
        poll_fn(|cx| Poll::Ready(patience.poll_stalled(cx).is_ready())).await
    }

    #[tokio::test]
    async fn a_wait_ends_at_its_limit_and_the_next_starts_anew() {
        let limit = Duration::from_secs(3600);
        let mut patience = StallTimer::new(limit);
        assert!(!is_lost(&mut patience).await);
        // As if that wait had begun an hour ago, with a timer set for it.
        patience.since = Instant::now().checked_sub(limit);
        patience.alarm = None;
        poll_fn(|cx| patience.poll_stalled(cx)).await;
        assert!(patience.restore() >= limit);
        assert_eq!(patience.restore(), Duration::ZERO, "nothing was waited for");
        assert!(!is_lost(&mut patience).await);
    }
}
