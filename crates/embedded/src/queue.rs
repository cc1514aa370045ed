//! What waits for the writer: appends to the log, and jobs of every other kind.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::fault::Fault;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::OutgoingRecord;

/// Jobs that wait or run. Who comes later waits for a place.
const JOBS: usize = 256;

/// Something to be done within a transaction, and answered once it is committed.
pub(super) trait Job: Send {
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, outcome: Result<(), Fault>);
}

/// The way to the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    places: Arc<Semaphore>,
    max_bytes: usize,
}

#[derive(Default)]
struct State {
    appends: Vec<OutgoingRecord>,
    bytes: usize,
    jobs: VecDeque<Box<dyn Job>>,
    closed: bool,
}

impl Queue {
    pub fn new(max_bytes: usize) -> Queue {
        Queue {
            state: Mutex::default(),
            filled: Condvar::new(),
            places: Arc::new(Semaphore::new(JOBS)),
            max_bytes,
        }
    }

    /// Queues a record. A full queue refuses: the sender is told at once, and nothing piles up.
    pub fn append(&self, record: OutgoingRecord) -> Result<(), PortError> {
        let bytes = size_of::<OutgoingRecord>() + record.key.len() + record.value.len();
        let mut state = self.state();
        if state.closed {
            return Err(unavailable("the data folder is closed"));
        }
        // One record is always taken, however large: or it never would be.
        if state.bytes + bytes > self.max_bytes && !state.appends.is_empty() {
            return Err(unavailable("too many records wait for the disk"));
        }
        state.bytes += bytes;
        state.appends.push(record);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Queues work for the writer's transaction, to be answered after the commit. What one task
    /// sends runs in the order of the calls. A full queue makes the caller wait.
    pub async fn send<T, F>(&self, work: F) -> Answer<T>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await.expect("never closed");
        Answer(self.push(work, Some(place)))
    }

    /// As `send`, answer included, for a thread that may block; it needs no place.
    pub fn call_blocking<T, F>(&self, work: F) -> Result<T, Fault>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.push(work, None).blocking_recv().unwrap_or_else(closed)
    }

    fn push<T, F>(
        &self,
        work: F,
        place: Option<OwnedSemaphorePermit>,
    ) -> oneshot::Receiver<Result<T, Fault>>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let call = Call {
            work: Some(work),
            result: None,
            answer,
            _place: place,
        };
        let mut state = self.state();
        // Closed: the call is dropped, and with it the sender that the caller waits for.
        if !state.closed {
            state.jobs.push_back(Box::new(call));
        }
        drop(state);
        self.filled.notify_one();
        answered
    }

    /// Waits for something to do and takes all appends; false when closed and empty.
    pub fn take(&self, appends: &mut Vec<OutgoingRecord>) -> bool {
        let mut state = self.state();
        while state.appends.is_empty() && state.jobs.is_empty() && !state.closed {
            state = self.filled.wait(state).expect("nothing panics under it");
        }
        mem::swap(&mut state.appends, appends);
        state.bytes = 0;
        !(appends.is_empty() && state.jobs.is_empty())
    }

    pub fn next_job(&self) -> Option<Box<dyn Job>> {
        self.state().jobs.pop_front()
    }

    /// All jobs that wait at this moment.
    pub fn all_jobs(&self) -> VecDeque<Box<dyn Job>> {
        mem::take(&mut self.state().jobs)
    }

    /// Takes nothing more; what is queued is still written.
    pub fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under it")
    }
}

/// What a job will have come to.
pub(super) struct Answer<T>(oneshot::Receiver<Result<T, Fault>>);

impl<T> Answer<T> {
    pub async fn wait(self) -> Result<T, Fault> {
        self.0.await.unwrap_or_else(closed)
    }
}

struct Call<F, T> {
    work: Option<F>,
    result: Option<T>,
    answer: oneshot::Sender<Result<T, Fault>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<F, T> Job for Call<F, T>
where
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let work = self.work.take().expect("a job runs once");
        self.result = Some(work(db)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        let Call { result, answer, .. } = *self;
        // A caller that left: what was done stays done.
        let _ = answer.send(outcome.map(|()| result.expect("its run went well")));
    }
}

fn closed<T>(_: oneshot::error::RecvError) -> Result<T, Fault> {
    Err(Fault::Unavailable("the data folder is closed".into()))
}

fn unavailable(reason: &str) -> PortError {
    metrics::counter!("lakechat_log_refused_total").increment(1);
    PortError::unavailable("broker", reason)
}
