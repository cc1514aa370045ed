//! A bounded queue of calls, in the order in which they came.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Call, Context, Lost, Rejected, Taken, WorkQueue};

/// Calls that wait for one of the threads that serve them. A full queue refuses further calls.
pub struct CallQueue<C: Context> {
    calls: WorkQueue<VecDeque<Call<C>>>,
    max_calls: usize,
}

/// Why a call has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It will not run: as many calls as may wait are waiting.
    #[error("too many calls wait")]
    Full,
    /// The queue is closed, or the call has panicked.
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl<C: Context> CallQueue<C> {
    /// `max_calls` may wait, beside those that run.
    pub fn new(max_calls: usize) -> CallQueue<C> {
        CallQueue {
            calls: WorkQueue::new(VecDeque::new()),
            max_calls,
        }
    }

    /// Runs `work` on a thread that serves the queue. If the future is dropped before `work` runs, it
    /// doesn't run.
    pub async fn call<T, W>(&self, work: W) -> Result<Result<T, C::Error>, CallError>
    where
        W: FnOnce(C::Ref<'_>) -> Result<T, C::Error> + Send + 'static,
        T: Send + 'static,
    {
        let (call, answer) = Call::once(work);
        let pushed = self.calls.push(|calls| {
            if calls.len() >= self.max_calls {
                return Err(CallError::Full);
            }
            calls.push_back(call);
            Ok(())
        });
        match pushed {
            Ok(()) => Ok(answer.wait().await?),
            Err(Rejected::Full(full)) => Err(full),
            Err(Rejected::Closed) => Err(Lost.into()),
        }
    }

    /// Waits for a call; None once the queue is closed.
    pub fn take(&self) -> Option<Call<C>> {
        self.calls.take(VecDeque::pop_front)
    }

    /// Waits for a call until a deadline.
    pub fn take_before(&self, deadline: Instant) -> Taken<Call<C>> {
        self.calls.take_before(deadline, VecDeque::pop_front)
    }

    /// Refuses further calls, and drops those that wait.
    pub fn close(&self) {
        self.calls.abandon();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use futures_util::poll;

    use super::super::OwnedThread;
    use super::*;

    /// A thread that counts its calls.
    struct Counter;

    impl Context for Counter {
        type Ref<'a> = &'a mut u32;
        type Error = &'static str;
    }

    type Calls = Arc<CallQueue<Counter>>;

    fn one_thread(max_calls: usize) -> (Calls, OwnedThread) {
        let calls = Calls::new(CallQueue::new(max_calls));
        let served = Arc::clone(&calls);
        let serve = move || {
            let mut count = 0;
            while let Some(call) = served.take() {
                count += 1;
                call.perform(&mut count);
            }
        };
        (
            calls,
            OwnedThread::restarting("test", serve).expect("a thread"),
        )
    }

    #[tokio::test]
    async fn calls_run_in_order_and_a_closed_queue_refuses() {
        let (calls, thread) = one_thread(8);
        assert_eq!(calls.call(|count| Ok(*count)).await, Ok(Ok(1)));
        assert_eq!(calls.call(|count| Ok(*count)).await, Ok(Ok(2)));
        assert_eq!(calls.call(|_| Err::<(), _>("no")).await, Ok(Err("no")));
        calls.close();
        drop(thread);
        assert_eq!(calls.call(|_| Ok(())).await, Err(CallError::Lost(Lost)));
    }

    #[tokio::test]
    async fn a_call_that_panics_answers_its_caller_and_the_next_call_runs() {
        let (calls, _thread) = one_thread(8);
        let panics = calls.call(|_| -> Result<(), _> { panic!("as a bug would") });
        assert_eq!(panics.await, Err(CallError::Lost(Lost)));
        assert_eq!(calls.call(|count| Ok(*count)).await, Ok(Ok(2)));
        calls.close();
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_closing_answers_all_that_wait() {
        let (calls, thread) = one_thread(1);
        let (started, running) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut busy = Box::pin(calls.call(move |_| {
            started.send(()).expect("the test waits");
            // Ends when the test drops the other end.
            let _ = released.recv();
            Ok(())
        }));
        assert!(poll!(&mut busy).is_pending());
        running.recv().expect("it runs");
        let mut waits = Box::pin(calls.call(|_| Ok(())));
        assert!(poll!(&mut waits).is_pending());
        assert_eq!(calls.call(|_| Ok(())).await, Err(CallError::Full));
        calls.close();
        assert_eq!(waits.await, Err(CallError::Lost(Lost)));
        drop(release);
        assert_eq!(busy.await, Ok(Ok(())), "what runs is finished");
        drop(thread);
    }

    #[tokio::test]
    async fn a_call_whose_caller_left_does_not_run() {
        let calls = Calls::new(CallQueue::new(8));
        let (ran, runs) = mpsc::channel();
        let mut left = Box::pin(calls.call(move |_| {
            ran.send(()).expect("the test listens");
            Ok(())
        }));
        assert!(poll!(&mut left).is_pending());
        drop(left);
        calls.take().expect("it waits").perform(&mut 0);
        runs.recv().expect_err("it was dropped");
    }
}
