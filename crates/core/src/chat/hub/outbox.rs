//! What waits for one session's socket.

mod refusals;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::chat::wire::close::Close;
use crate::chat::wire::{self, About, Ref};
use crate::domain::Problem;
use refusals::Refusals;

/// One in so many times that an empty queue fills, the time to the socket is measured.
const SAMPLED: u32 = 16;

/// How much may wait. What comes on top closes the session as slow: the channel stays fast, and the
/// reader comes back and resumes.
#[derive(Clone, Copy, Debug)]
pub struct OutboxBounds {
    pub frames: usize,
    pub bytes: usize,
}

/// The queue of frames between those who have something to tell a session and its socket.
///
/// Frames are counted references to texts that were encoded once for all receivers.
#[derive(Debug)]
pub struct Outbox {
    bounds: OutboxBounds,
    waiting: Mutex<Waiting>,
    /// Tells the one who waits for room; permits are not collected.
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
    /// The first reason to close stays.
    close: Option<Close>,
    waker: Option<Waker>,
    /// When what waits began to wait; taken of one in [`SAMPLED`] times only.
    since: Option<Instant>,
    fills: u32,
    /// The socket takes nothing more for now: only a close is worth waking the session for.
    blocked: bool,
    /// None before the first.
    refusals: Option<Box<Refusals>>,
}

impl Outbox {
    pub fn new(bounds: OutboxBounds) -> Outbox {
        Outbox {
            bounds,
            waiting: Mutex::default(),
            room: Notify::new(),
        }
    }

    /// Adds a frame, or closes the session as slow.
    pub fn push(&self, frame: Utf8Bytes) {
        self.push_all(std::iter::once(frame));
    }

    /// Adds frames with one wake-up, or closes the session as slow; tells whether it is open.
    pub fn push_all(&self, frames: impl Iterator<Item = Utf8Bytes>) -> bool {
        let (open, waker) = self.queue_all(frames);
        waker.into_iter().for_each(Waker::wake);
        open
    }

    /// The same, where the caller does the waking.
    pub fn queue_all(&self, frames: impl Iterator<Item = Utf8Bytes>) -> (bool, Option<Waker>) {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        if waiting.close.is_some() {
            return (false, None);
        }
        if waiting.frames.is_empty() {
            waiting.fills = waiting.fills.wrapping_add(1);
            waiting.since = waiting.fills.is_multiple_of(SAMPLED).then(Instant::now);
        }
        for frame in frames {
            waiting.bytes += frame.len();
            waiting.frames.push_back(frame);
        }
        let full = waiting.frames.len() > self.bounds.frames || waiting.bytes > self.bounds.bytes;
        if full {
            metrics::counter!("lakechat_slow_consumers_total").increment(1);
            waiting.close = Some(Close::SlowConsumer);
        }
        let wake = full || !waiting.blocked;
        (!full, waiting.waker.take_if(|_| wake))
    }

    /// Tells that a request is refused, be it by the session or later by the log; one too many in a
    /// while closes the session.
    pub fn refuse(&self, reference: Ref, problem: &Problem, about: About<'_>) {
        metrics::counter!("lakechat_frames_refused_total", "code" => problem.code.as_str())
            .increment(1);
        if !self.push_all(std::iter::once(wire::error(reference, problem, about))) {
            return;
        }
        let mut waiting = self.waiting.lock().expect("no panic while held");
        let refusals = waiting.refusals.get_or_insert_default();
        let too_many = refusals.count(problem.code, Instant::now());
        drop(waiting);
        if let Some(why) = too_many {
            self.close(why);
        }
    }

    /// Asks the session to close; what waits is dropped, for the client resumes.
    pub fn close(&self, why: Close) {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        waiting.close.get_or_insert(why);
        wake(waiting);
    }

    /// Whether the session still takes frames.
    pub fn is_open(&self) -> bool {
        self.waiting
            .lock()
            .expect("no panic while held")
            .close
            .is_none()
    }

    /// Whether this many more frames leave half of the queue for what comes live.
    pub fn has_room(&self, frames: usize, bytes: usize) -> bool {
        let waiting = self.waiting.lock().expect("no panic while held");
        waiting.close.is_none()
            && waiting.frames.len() + frames <= self.bounds.frames / 2
            && waiting.bytes + bytes <= self.bounds.bytes / 2
    }

    /// Waits until at most a quarter of the queue is taken, or the session closes.
    pub async fn drained(&self) {
        loop {
            let told = self.room.notified();
            if self.is_nearly_empty() {
                return;
            }
            told.await;
        }
    }

    fn is_nearly_empty(&self) -> bool {
        let waiting = self.waiting.lock().expect("no panic while held");
        waiting.close.is_some() || self.is_low(&waiting)
    }

    fn is_low(&self, waiting: &Waiting) -> bool {
        waiting.frames.len() <= self.bounds.frames / 4 && waiting.bytes <= self.bounds.bytes / 4
    }

    /// While the socket takes nothing: why to close, if there is a reason.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Close> {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        waiting.blocked = true;
        match waiting.close {
            Some(why) => Poll::Ready(why),
            None => {
                waiting.wait(cx);
                Poll::Pending
            }
        }
    }

    /// Takes frames of up to `bytes` together (one at least) and perhaps since when the first waited,
    /// or why to close.
    pub fn poll_take(
        &self,
        cx: &mut Context<'_>,
        bytes: usize,
        into: &mut Vec<Utf8Bytes>,
    ) -> Poll<Result<Option<Instant>, Close>> {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        waiting.blocked = false;
        if let Some(why) = waiting.close {
            return Poll::Ready(Err(why));
        }
        let mut taken = 0;
        while taken < bytes {
            let Some(frame) = waiting.frames.pop_front() else {
                break;
            };
            taken += frame.len();
            into.push(frame);
        }
        if taken == 0 {
            // Capacity that a burst left behind is not kept for an idle session.
            waiting.frames.shrink_to(16);
            waiting.wait(cx);
            return Poll::Pending;
        }
        waiting.bytes -= taken;
        if self.is_low(&waiting) {
            self.room.notify_waiters();
        }
        Poll::Ready(Ok(waiting.since.take()))
    }
}

impl Waiting {
    fn wait(&mut self, cx: &mut Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

/// Wakes the session's task after the lock is free.
fn wake(mut waiting: std::sync::MutexGuard<'_, Waiting>) {
    let waker = waiting.waker.take();
    drop(waiting);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: OutboxBounds = OutboxBounds {
        frames: 4,
        bytes: 100,
    };

    fn take(outbox: &Outbox, bytes: usize) -> Option<Result<Vec<Utf8Bytes>, Close>> {
        let mut into = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        match outbox.poll_take(&mut cx, bytes, &mut into) {
            Poll::Ready(taken) => Some(taken.map(|_| into)),
            Poll::Pending => None,
        }
    }

    #[test]
    fn frames_come_out_in_order_by_the_bytes_asked_for() {
        let outbox = Outbox::new(BOUNDS);
        outbox.push_all(["aa", "bb", "cc"].into_iter().map(Utf8Bytes::from_static));
        assert_eq!(take(&outbox, 3).unwrap().unwrap(), ["aa", "bb"]);
        assert_eq!(take(&outbox, 3).unwrap().unwrap(), ["cc"]);
        assert!(take(&outbox, 3).is_none());
    }

    #[test]
    fn one_frame_or_one_byte_too_many_closes_as_slow() {
        let outbox = Outbox::new(BOUNDS);
        assert!(outbox.push_all((0..4).map(|_| Utf8Bytes::from_static("x"))));
        assert!(!outbox.push_all(std::iter::once(Utf8Bytes::from_static("x"))));
        assert_eq!(take(&outbox, 1), Some(Err(Close::SlowConsumer)));

        let outbox = Outbox::new(BOUNDS);
        assert!(!outbox.push_all(std::iter::once("x".repeat(101).into())));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told() {
        let outbox = Outbox::new(BOUNDS);
        outbox.push_all((0..3).map(|_| Utf8Bytes::from_static("x")));
        let mut waiting = std::pin::pin!(outbox.drained());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let _ = take(&outbox, 10).unwrap().unwrap();
        waiting.await;
    }
}
