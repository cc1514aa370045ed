//! How other threads wake the maintenance thread.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// Requests to the maintenance thread. Several before it wakes count as one.
#[derive(Default)]
pub(crate) struct Signal {
    requests: Mutex<Requests>,
    changed: Condvar,
}

#[derive(Default)]
struct Requests {
    checkpoint: bool,
    stop: bool,
}

impl Signal {
    pub fn request_checkpoint(&self) {
        self.requests().checkpoint = true;
        self.changed.notify_one();
    }

    pub fn stop(&self) {
        self.requests().stop = true;
        self.changed.notify_one();
    }

    pub fn is_stopped(&self) -> bool {
        self.requests().stop
    }

    /// Waits for a request, at most until the deadline. Returns whether a checkpoint was requested.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        self.wait(deadline, |requests| requests.checkpoint || requests.stop)
    }

    /// Sleeps until the deadline or the stop, and drops requests for a checkpoint that come
    /// meanwhile: the writer repeats them every few commits.
    pub fn pause_until(&self, deadline: Instant) {
        self.wait(deadline, |requests| requests.stop);
    }

    fn wait(&self, deadline: Instant, is_over: impl Fn(&Requests) -> bool) -> bool {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let waited = self
            .changed
            .wait_timeout_while(self.requests(), timeout, |requests| !is_over(requests));
        let (mut requests, _) = waited.expect("nothing panics while holding it");
        mem::take(&mut requests.checkpoint)
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests
            .lock()
            .expect("nothing panics while holding it")
    }
}
