//! Finds clients that don't receive what waits for them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A stream that counts the bytes that were written.
#[derive(Debug)]
pub struct Metered<S> {
    stream: S,
    written: u64,
}

impl<S> Metered<S> {
    pub fn new(stream: S) -> Metered<S> {
        Metered { stream, written: 0 }
    }

    pub fn written(&self) -> u64 {
        self.written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Finds out whether a wait for the client makes too little progress.
///
/// Polled at each wake of a session that waits, so it sets its timer only when that has fired.
#[derive(Debug)]
pub struct Stall {
    limit: Duration,
    /// The least that the client has to receive within the limit.
    least_bytes: u64,
    /// Since when the session waits, and the bytes written by then.
    since: Option<(Instant, u64)>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub fn new(limit: Duration, least_bytes: u64) -> Stall {
        Stall {
            limit,
            least_bytes,
            since: None,
            alarm: None,
        }
    }

    /// The wait is over.
    pub fn end(&mut self) {
        self.since = None;
    }

    /// Starts a wait unless one is under way. Ready if too little was written within the limit.
    pub fn poll(&mut self, cx: &mut Context<'_>, written: u64) -> Poll<()> {
        let mut since = *self.since.get_or_insert_with(|| (Instant::now(), written));
        loop {
            let (began, written_then) = since;
            let deadline = began + self.limit;
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            ready!(alarm.as_mut().poll(cx));
            let now = Instant::now();
            if now < deadline {
                alarm.as_mut().reset(deadline);
            } else if written - written_then < self.least_bytes {
                return Poll::Ready(());
            } else {
                since = (now, written);
                self.since = Some(since);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn is_stalled(stall: &mut Stall, written: u64) -> bool {
        poll_fn(|cx| Poll::Ready(stall.poll(cx, written).is_ready())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_without_enough_progress_is_a_stall() {
        let mut stall = Stall::new(LIMIT, 100);
        assert!(!is_stalled(&mut stall, 0).await);
        tokio::time::advance(LIMIT).await;
        assert!(!is_stalled(&mut stall, 100).await, "it received enough");
        tokio::time::advance(LIMIT / 2).await;
        assert!(!is_stalled(&mut stall, 199).await);
        tokio::time::advance(LIMIT / 2).await;
        assert!(is_stalled(&mut stall, 199).await);
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_the_whole_limit() {
        let mut stall = Stall::new(LIMIT, 100);
        assert!(!is_stalled(&mut stall, 0).await);
        stall.end();
        tokio::time::advance(2 * LIMIT).await;
        assert!(!is_stalled(&mut stall, 0).await, "a new wait");
        tokio::time::advance(LIMIT / 2).await;
        assert!(!is_stalled(&mut stall, 0).await);
        tokio::time::advance(LIMIT / 2).await;
        assert!(is_stalled(&mut stall, 0).await);
    }
}
