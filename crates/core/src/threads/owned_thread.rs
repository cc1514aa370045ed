//! Threads with an owner, and panics on them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a thread that panicked rests before it runs again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// A thread that is joined when its owner is dropped. The owner has to tell it to end before, for
/// instance by closing its queue; dropping this also unparks it.
#[derive(Debug)]
pub struct OwnedThread(Option<JoinHandle<()>>);

impl OwnedThread {
    /// Runs `work` on a thread until it returns. After a panic it runs again, a second later, with
    /// what it has captured.
    pub fn restarting(
        name: impl Into<String>,
        mut work: impl FnMut() + Send + 'static,
    ) -> io::Result<OwnedThread> {
        OwnedThread::spawn(name, move || {
            while catch_panic(&mut work).is_none() {
                thread::park_timeout(RESTART_PAUSE);
            }
        })
    }

    /// Runs `work` on a thread. A panic ends the thread, so `work` has to tell somebody.
    pub fn spawn(
        name: impl Into<String>,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<OwnedThread> {
        let thread = thread::Builder::new().name(name.into()).spawn(|| {
            catch_panic(work);
        })?;
        Ok(OwnedThread(Some(thread)))
    }
}

impl Drop for OwnedThread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            thread.thread().unpark();
            // Never an error: panics are caught.
            let _ = thread.join();
        }
    }
}

/// Runs `work`; None if it panics. The panic is counted under the thread's name without its number;
/// the process's panic hook logs it.
///
/// What `work` has captured may be half changed after a panic: it must not be used, or be repaired
/// first.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(work)).ok();
    if outcome.is_none() {
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        metrics::counter!("lakechat_thread_panics_total", "thread" => kind.to_owned()).increment(1);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_thread_that_panics_runs_again_and_keeps_what_it_has() {
        let (runs, running) = mpsc::channel();
        let mut run = 0;
        let thread = OwnedThread::restarting("test-3", move || {
            run += 1;
            runs.send(run).expect("the test listens");
            assert!(run > 1, "as a bug would");
        });
        let thread = thread.expect("a thread");
        assert_eq!(running.recv(), Ok(1));
        // Ends the pause, and waits for the second run.
        drop(thread);
        assert_eq!(running.recv(), Ok(2));
        running.recv().expect_err("it returned");
    }

    #[test]
    fn a_thread_that_is_to_end_with_its_panic_ends() {
        let (alive, ended) = mpsc::channel::<()>();
        let thread = OwnedThread::spawn("test", move || {
            let _alive = alive;
            panic!("as a bug would");
        });
        ended.recv().expect_err("nothing is sent");
        drop(thread.expect("a thread"));
    }
}
