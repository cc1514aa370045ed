//! The frames that wait for one session's socket.

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

/// The delay to the socket is measured once in this many times that an empty queue fills.
const SAMPLED: u32 = 16;

/// The bounds of an outbox. Exceeding one closes the session as slow. So a slow reader doesn't
/// delay its channel; it reconnects and resumes.
#[derive(Clone, Copy, Debug)]
pub struct OutboxBounds {
    pub frames: usize,
    pub bytes: usize,
}

/// The queue of frames between the tasks and threads that deliver to a session and its socket.
///
/// A frame is a counted reference to a text that was encoded once for all receivers.
#[derive(Debug)]
pub struct Outbox {
    bounds: OutboxBounds,
    waiting: Mutex<Waiting>,
    /// Wakes [`Outbox::drained`]. Only `notify_waiters` is used, so no permit is stored.
    room: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
    /// Why the session has to close. The first reason counts.
    close: Option<Close>,
    waker: Option<Waker>,
    /// When the first waiting frame was queued; only once in [`SAMPLED`] times.
    since: Option<Instant>,
    fills: u32,
    /// The socket accepts no more frames, so only a close wakes the session.
    blocked: bool,
    /// None before the first refusal, which most sessions never have.
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

    /// Queues a frame. Closes the session as slow if a bound is exceeded.
    pub fn push(&self, frame: Utf8Bytes) {
        self.push_all(std::iter::once(frame));
    }

    /// Like [`Outbox::push`] for several frames, with one wake-up. Returns whether the session is
    /// still open.
    pub fn push_all(&self, frames: impl Iterator<Item = Utf8Bytes>) -> bool {
        let (open, waker) = self.queue_all(frames);
        waker.into_iter().for_each(Waker::wake);
        open
    }

    /// Like [`Outbox::push_all`], but returns the waker, for a caller that wakes many sessions
    /// later.
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

    /// Queues the error for a refused request. The refusal comes from the session or, later, from
    /// the log. Too many of them close the session: see [`Refusals`].
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

    /// Asks the session to close. Frames that still wait are dropped; a client resumes.
    pub fn close(&self, why: Close) {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        waiting.close.get_or_insert(why);
        wake(waiting);
    }

    /// Whether the session still accepts frames.
    pub fn is_open(&self) -> bool {
        self.waiting
            .lock()
            .expect("no panic while held")
            .close
            .is_none()
    }

    /// Whether the queue is at most half full with this much more. The other half is for live
    /// frames.
    pub fn has_room(&self, frames: usize, bytes: usize) -> bool {
        let waiting = self.waiting.lock().expect("no panic while held");
        waiting.close.is_none()
            && waiting.frames.len() + frames <= self.bounds.frames / 2
            && waiting.bytes + bytes <= self.bounds.bytes / 2
    }

    /// Waits until at most a quarter of the queue is used. Returns at once if the session is
    /// closing.
    ///
    /// A close during the wait doesn't end it: the session owns this future and drops it.
    pub async fn drained(&self) {
        loop {
            // Created before the check: `notify_waiters` reaches only futures that exist by then.
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

    /// Resolves when the session has to close. Called while the socket accepts no more frames.
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

    /// Moves frames into `into`, at least one, until they reach `bytes` in total or the queue is
    /// empty.
    ///
    /// Returns the time when the first one was queued, if it is sampled, or the reason to close.
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
            // Releases the capacity that a burst needed: most sessions are idle.
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

/// Releases the lock before waking the session's task, because that task takes the lock first.
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
