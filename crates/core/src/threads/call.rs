//! Work for a thread, and the caller that waits for its result.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::catch_panic;

/// What a kind of calls works with, such as a connection, and how it fails.
pub trait Context: 'static {
    /// The form in which a call gets it.
    type Ref<'a>;
    type Error: Send + 'static;
}

/// The caller never gets a result: the call panicked, or was dropped before it was run or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the call was dropped, or panicked")]
pub struct Lost;

/// A call that waits for a thread or runs on one. Dropping it answers its caller with [`Lost`].
pub struct Call<C: Context> {
    work: Box<dyn Work<C>>,
    queued: Instant,
}

/// The result that a call will have.
#[derive(Debug)]
pub struct Answer<T, E>(oneshot::Receiver<Result<T, E>>);

impl<T, E> Answer<T, E> {
    /// Dropping the future abandons the call.
    pub async fn wait(self) -> Result<Result<T, E>, Lost> {
        self.0.await.map_err(|_| Lost)
    }

    pub fn wait_blocking(self) -> Result<Result<T, E>, Lost> {
        self.0.blocking_recv().map_err(|_| Lost)
    }
}

impl<C: Context> Call<C> {
    /// A call that may run several times before it is answered; the last run counts.
    pub fn new<T, W>(work: W) -> (Call<C>, Answer<T, C::Error>)
    where
        W: FnMut(C::Ref<'_>) -> Result<T, C::Error> + Send + 'static,
        T: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let work = Waiting {
            work,
            result: None,
            sender,
        };
        let call = Call {
            work: Box::new(work),
            queued: Instant::now(),
        };
        (call, Answer(receiver))
    }

    /// A call that runs once at most.
    pub fn once<T, W>(work: W) -> (Call<C>, Answer<T, C::Error>)
    where
        W: FnOnce(C::Ref<'_>) -> Result<T, C::Error> + Send + 'static,
        T: Send + 'static,
    {
        let mut work = Some(work);
        Call::new(move |context: C::Ref<'_>| work.take().expect("it runs once")(context))
    }

    /// Runs it without answering. Its result is kept for [`Call::answer`].
    pub fn run(&mut self, context: C::Ref<'_>) -> Result<(), C::Error> {
        self.work.run(context)
    }

    /// Answers it: with the result of its last run, or with an error.
    pub fn answer(self, outcome: Result<(), C::Error>) {
        self.work.answer(outcome);
    }

    /// Runs and answers it, unless its caller has left. A panic ends here.
    pub fn perform(mut self, context: C::Ref<'_>) {
        if self.is_abandoned() {
            return;
        }
        if let Some(outcome) = catch_panic(|| self.run(context)) {
            self.answer(outcome);
        }
    }

    /// Nobody waits for the answer any more.
    pub fn is_abandoned(&self) -> bool {
        self.work.is_abandoned()
    }

    /// For how long it has existed.
    pub fn waited(&self) -> Duration {
        self.queued.elapsed()
    }
}

trait Work<C: Context>: Send {
    fn run(&mut self, context: C::Ref<'_>) -> Result<(), C::Error>;
    fn answer(self: Box<Self>, outcome: Result<(), C::Error>);
    fn is_abandoned(&self) -> bool;
}

struct Waiting<W, T, E> {
    work: W,
    result: Option<T>,
    sender: oneshot::Sender<Result<T, E>>,
}

impl<C, W, T> Work<C> for Waiting<W, T, C::Error>
where
    C: Context,
    W: FnMut(C::Ref<'_>) -> Result<T, C::Error> + Send,
    T: Send,
{
    fn run(&mut self, context: C::Ref<'_>) -> Result<(), C::Error> {
        self.result = Some((self.work)(context)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), C::Error>) {
        let Waiting { result, sender, .. } = *self;
        let answer = outcome.map(|()| result.expect("its last run succeeded"));
        // The caller may have left: what was done stays done.
        let _ = sender.send(answer);
    }

    fn is_abandoned(&self) -> bool {
        self.sender.is_closed()
    }
}
