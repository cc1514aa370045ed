//! What waits for a connection.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::connection::Connection;
use super::error::HBaseError;

/// Calls that wait for a connection. One more is refused as unavailable: whoever asked can try
/// again, and a back end that is slow is not helped by more work.
const MAX_JOBS: usize = 1024;

/// Something to be done over a connection; may run twice when a connection turns out to be dead.
pub(super) trait Job: Send {
    fn run(&mut self, connection: &mut Connection) -> Result<(), HBaseError>;
    fn answer(self: Box<Self>, outcome: Result<(), HBaseError>);
    /// Nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
    fn waited(&self) -> Duration;
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Box<dyn Job>>,
    closed: bool,
}

/// The way to the connections of one kind.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

impl Queue {
    /// Does `work` over a connection. Dropping the future gives the job up unless it runs already.
    pub async fn call<T, W>(&self, work: W) -> Result<T, HBaseError>
    where
        W: Fn(&mut Connection) -> Result<T, HBaseError> + Send + 'static,
        T: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.push(Box::new(Call {
            work,
            result: None,
            answer,
            queued: Instant::now(),
        }))?;
        let closed = |_| Err(HBaseError::Unavailable("the server is stopping".to_owned()));
        answered.await.unwrap_or_else(closed)
    }

    fn push(&self, job: Box<dyn Job>) -> Result<(), HBaseError> {
        let mut state = self.state();
        if state.closed {
            return Err(HBaseError::Unavailable("the server is stopping".to_owned()));
        }
        if state.jobs.len() >= MAX_JOBS {
            metrics::counter!("lakechat_hbase_refused_total").increment(1);
            return Err(HBaseError::Unavailable(
                "too many calls wait for HBase".to_owned(),
            ));
        }
        state.jobs.push_back(job);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for a job; None once closed.
    pub fn take(&self) -> Option<Box<dyn Job>> {
        let mut state = self.state();
        while state.jobs.is_empty() && !state.closed {
            state = self.filled.wait(state).expect("nothing panics under it");
        }
        state.jobs.pop_front()
    }

    /// Takes nothing more and drops what waits, which answers it.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let dropped = std::mem::take(&mut state.jobs);
        drop(state);
        drop(dropped);
        self.filled.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under it")
    }
}

struct Call<W, T> {
    work: W,
    result: Option<T>,
    answer: oneshot::Sender<Result<T, HBaseError>>,
    queued: Instant,
}

impl<W, T> Job for Call<W, T>
where
    W: Fn(&mut Connection) -> Result<T, HBaseError> + Send,
    T: Send,
{
    fn run(&mut self, connection: &mut Connection) -> Result<(), HBaseError> {
        self.result = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), HBaseError>) {
        let Call { result, answer, .. } = *self;
        // A caller that left: what was done stays done.
        let _ = answer.send(outcome.map(|()| result.expect("its run went well")));
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn waited(&self) -> Duration {
        self.queued.elapsed()
    }
}
