//! The frames that wait for one session's socket.

mod refusals;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::Notify;

use crate::chat::wire::close::Close;
use crate::chat::wire::{self, About, Frame, Ref};
use crate::domain::Problem;
use refusals::Refusals;

/// A queue with at most this many bytes has room for the next page.
const LOW_BYTES: usize = 64 * 1024;

/// How many times the bound in bytes live frames and answers together may have.
const ANSWERS: usize = 2;

/// The delay to the socket is measured once in this many times that an empty queue fills.
const SAMPLED: u32 = 16;

/// The bounds of an outbox. Live frames that exceed one are not queued: the session has fallen
/// behind, and resumes from the log. So a slow reader doesn't delay its channel.
///
/// Answers to the session's own frames are queued in any number, for a session that has many sends in
/// flight, up to twice the bytes. Beyond that it is closed as slow.
#[derive(Clone, Copy, Debug)]
pub struct OutboxBounds {
    pub frames: usize,
    pub bytes: usize,
}

/// The result of queueing live frames.
#[derive(Debug)]
pub enum Queued {
    /// All are queued. The waker, if the session has to be woken.
    Done(Option<Waker>),
    /// None is queued.
    NoRoom,
    /// The session is closing.
    Closed,
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
    /// A subscription has fallen behind since the session last looked.
    is_behind: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Frame>,
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
            is_behind: AtomicBool::new(false),
        }
    }

    /// Queues live frames, `count` of them with `bytes` in all, or none if they exceed a bound, or
    /// more than `room_bytes` would wait. The caller wakes the session.
    pub fn queue_live(
        &self,
        room_bytes: usize,
        count: usize,
        bytes: usize,
        frames: impl Iterator<Item = Frame>,
    ) -> Queued {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        if waiting.close.is_some() {
            return Queued::Closed;
        }
        let bounds = OutboxBounds {
            bytes: self.bounds.bytes.min(room_bytes),
            ..self.bounds
        };
        if waiting.exceeds(bounds, count, bytes) {
            return Queued::NoRoom;
        }
        waiting.extend(frames);
        let wake = !waiting.blocked;
        Queued::Done(waiting.waker.take_if(|_| wake))
    }

    /// Records that a subscription of the session has fallen behind. The caller wakes the session.
    pub fn fall_behind(&self) -> Option<Waker> {
        metrics::counter!("lakechat_falls_behind_total").increment(1);
        self.is_behind.store(true, Release);
        let mut waiting = self.waiting.lock().expect("no panic while held");
        waiting.waker.take()
    }

    /// Whether a subscription has fallen behind since the last call.
    pub fn take_behind(&self) -> bool {
        // The load is cheaper, and nearly always enough.
        self.is_behind.load(Relaxed) && self.is_behind.swap(false, Acquire)
    }

    /// Queues an answer.
    pub fn push(&self, frame: Frame) {
        self.push_all(std::iter::once(frame));
    }

    /// Like [`Outbox::push`] for several frames, with one wake-up. Returns whether the session is
    /// still open.
    pub fn push_all(&self, frames: impl Iterator<Item = Frame>) -> bool {
        let mut waiting = self.waiting.lock().expect("no panic while held");
        if waiting.close.is_some() {
            return false;
        }
        waiting.extend(frames);
        if waiting.bytes > ANSWERS * self.bounds.bytes {
            drop(waiting);
            self.close_as_slow();
            return false;
        }
        let wake = !waiting.blocked;
        let waker = waiting.waker.take_if(|_| wake);
        drop(waiting);
        waker.into_iter().for_each(Waker::wake);
        true
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

    /// Closes the session because its client receives too slowly. The client resumes.
    pub fn close_as_slow(&self) {
        metrics::counter!("lakechat_slow_consumers_total").increment(1);
        self.close(Close::SlowConsumer);
    }

    /// Whether a bound is reached.
    pub fn is_full(&self) -> bool {
        let waiting = self.waiting.lock().expect("no panic while held");
        waiting.exceeds(self.bounds, 1, 1)
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

    /// Waits until at most a quarter of the queue is used, and few bytes wait. Returns at once if the
    /// session is closing.
    ///
    /// A close during the wait doesn't end it: the session owns this future and drops it.
    pub async fn drained(&self) {
        loop {
            // Created before the check: `notify_waiters` reaches only futures that exist by then.
            let room = self.room.notified();
            if self.is_nearly_empty() {
                return;
            }
            room.await;
        }
    }

    fn is_nearly_empty(&self) -> bool {
        let waiting = self.waiting.lock().expect("no panic while held");
        waiting.close.is_some() || self.is_low(&waiting)
    }

    fn is_low(&self, waiting: &Waiting) -> bool {
        let low_bytes = LOW_BYTES.min(self.bounds.bytes / 4);
        waiting.frames.len() <= self.bounds.frames / 4 && waiting.bytes <= low_bytes
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
        into: &mut Vec<Frame>,
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
            taken += frame.size_bytes();
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
    fn exceeds(&self, bounds: OutboxBounds, frames: usize, bytes: usize) -> bool {
        self.frames.len() + frames > bounds.frames || self.bytes + bytes > bounds.bytes
    }

    fn extend(&mut self, frames: impl Iterator<Item = Frame>) {
        if self.frames.is_empty() {
            self.fills = self.fills.wrapping_add(1);
            self.since = self.fills.is_multiple_of(SAMPLED).then(Instant::now);
        }
        for frame in frames {
            self.bytes += frame.size_bytes();
            self.frames.push_back(frame);
        }
    }

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

    fn frame(text: &str) -> Frame {
        text.to_owned().into()
    }

    fn texts(frames: &[Frame]) -> Vec<String> {
        frames.iter().map(|f| f.as_str().to_owned()).collect()
    }

    fn take(outbox: &Outbox, bytes: usize) -> Option<Result<Vec<String>, Close>> {
        let mut into = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        match outbox.poll_take(&mut cx, bytes, &mut into) {
            Poll::Ready(taken) => Some(taken.map(|_| texts(&into))),
            Poll::Pending => None,
        }
    }

    #[test]
    fn frames_come_out_in_order_by_the_bytes_asked_for() {
        let outbox = Outbox::new(BOUNDS);
        outbox.push_all(["aa", "bb", "cc"].into_iter().map(frame));
        assert_eq!(take(&outbox, 3).unwrap().unwrap(), ["aa", "bb"]);
        assert_eq!(take(&outbox, 3).unwrap().unwrap(), ["cc"]);
        assert!(take(&outbox, 3).is_none());
    }

    fn live(outbox: &Outbox, frames: &[&'static str]) -> Queued {
        let bytes = frames.iter().map(|frame| frame.len()).sum();
        let texts = frames.iter().map(|text| frame(text));
        outbox.queue_live(usize::MAX, frames.len(), bytes, texts)
    }

    #[test]
    fn live_frames_beyond_a_bound_are_not_queued_and_the_session_stays_open() {
        let outbox = Outbox::new(BOUNDS);
        assert!(matches!(live(&outbox, &["a", "b", "c"]), Queued::Done(_)));
        assert!(!outbox.is_full());
        assert!(matches!(live(&outbox, &["d", "e"]), Queued::NoRoom));
        assert!(matches!(live(&outbox, &["d"]), Queued::Done(_)));
        assert!(outbox.is_full());
        assert!(outbox.is_open());
        assert_eq!(take(&outbox, 9).unwrap().unwrap(), ["a", "b", "c", "d"]);

        let large: &'static str = "x".repeat(101).leak();
        assert!(matches!(live(&outbox, &[large]), Queued::NoRoom));
        assert!(!outbox.take_behind());
        outbox.fall_behind();
        assert!(outbox.take_behind());
        assert!(!outbox.take_behind());
    }

    #[test]
    fn answers_have_more_room_and_then_close_as_slow() {
        let outbox = Outbox::new(BOUNDS);
        let answers = |count| (0..count).map(|_| frame("x"));
        assert!(outbox.push_all(answers(ANSWERS * BOUNDS.bytes)));
        assert!(!outbox.push_all(answers(1)));
        assert_eq!(take(&outbox, 1), Some(Err(Close::SlowConsumer)));
        assert!(matches!(live(&outbox, &["x"]), Queued::Closed));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told() {
        let outbox = Outbox::new(BOUNDS);
        outbox.push_all((0..3).map(|_| frame("x")));
        let mut waiting = std::pin::pin!(outbox.drained());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let _ = take(&outbox, 10).unwrap().unwrap();
        waiting.await;
    }
}
