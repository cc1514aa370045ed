//! What waits for a thread: the hand-over between any number of tasks and threads.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// A backlog that tasks fill and threads wait for.
///
/// The backlog `B` decides about bounds and order, in the closures that the calls take. They run under
/// the queue's lock, so they have to be short and must not panic.
pub struct WorkQueue<B> {
    state: Mutex<State<B>>,
    filled: Condvar,
}

struct State<B> {
    /// None once the queue is abandoned.
    backlog: Option<B>,
    is_closed: bool,
}

/// Why a queue doesn't take something. It was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected<E> {
    /// The backlog refuses it.
    Full(E),
    Closed,
}

/// The outcome of a wait with a deadline.
#[derive(Debug)]
pub enum Taken<T> {
    Item(T),
    DeadlineReached,
    Closed,
}

impl<B> WorkQueue<B> {
    pub fn new(backlog: B) -> WorkQueue<B> {
        WorkQueue {
            state: Mutex::new(State {
                backlog: Some(backlog),
                is_closed: false,
            }),
            filled: Condvar::new(),
        }
    }

    /// Lets `add` put something into the backlog, and wakes the threads. Never waits.
    pub fn push<E>(&self, add: impl FnOnce(&mut B) -> Result<(), E>) -> Result<(), Rejected<E>> {
        let mut state = self.state();
        if state.is_closed {
            return Err(Rejected::Closed);
        }
        let backlog = state
            .backlog
            .as_mut()
            .expect("closed before it is abandoned");
        add(backlog).map_err(Rejected::Full)?;
        drop(state);
        // All: a thread may wait for one kind of work only.
        self.filled.notify_all();
        Ok(())
    }

    /// Waits until `pick` finds something in the backlog; None once the queue is closed and `pick`
    /// finds nothing.
    pub fn take<T>(&self, mut pick: impl FnMut(&mut B) -> Option<T>) -> Option<T> {
        let mut state = self.state();
        loop {
            let item = state.backlog.as_mut().and_then(&mut pick);
            if item.is_some() || state.is_closed {
                return item;
            }
            state = self.filled.wait(state).expect(NO_PANIC);
        }
    }

    /// As [`WorkQueue::take`], until a deadline.
    pub fn take_before<T>(
        &self,
        deadline: Instant,
        mut pick: impl FnMut(&mut B) -> Option<T>,
    ) -> Taken<T> {
        let mut state = self.state();
        loop {
            if let Some(item) = state.backlog.as_mut().and_then(&mut pick) {
                return Taken::Item(item);
            }
            if state.is_closed {
                return Taken::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::DeadlineReached;
            }
            (state, _) = self.filled.wait_timeout(state, left).expect(NO_PANIC);
        }
    }

    /// Takes what `pick` finds, without waiting.
    pub fn try_take<T>(&self, pick: impl FnOnce(&mut B) -> Option<T>) -> Option<T> {
        self.state().backlog.as_mut().and_then(pick)
    }

    /// Accepts nothing more. What waits can still be taken.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.filled.notify_all();
    }

    /// Accepts nothing more, and drops what waits.
    pub fn abandon(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let dropped = state.backlog.take();
        // Without the lock: dropping calls wakes their callers.
        drop(state);
        drop(dropped);
        self.filled.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "no panic while held";
