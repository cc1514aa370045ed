//! What waits for the writer: appends to the log, and jobs of every other kind.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fault::Fault;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::OutgoingRecord;
use lakechat_core::threads::{self, Call, Context, Lost, Rejected, WorkQueue};

/// Jobs that wait or run. Who comes later waits for a place.
const JOBS: usize = 256;

/// Jobs work within a transaction, and are answered once it is committed.
pub(super) enum Transacted {}

impl Context for Transacted {
    type Ref<'a> = &'a Connection;
    type Error = Fault;
}

pub(super) type Job = Call<Transacted>;

/// The way to the writer.
pub(super) struct Queue {
    waiting: WorkQueue<Waiting>,
    places: Arc<Semaphore>,
    max_bytes: usize,
}

#[derive(Default)]
struct Waiting {
    appends: Vec<OutgoingRecord>,
    bytes: usize,
    jobs: VecDeque<Job>,
}

impl Queue {
    pub fn new(max_bytes: usize) -> Queue {
        Queue {
            waiting: WorkQueue::new(Waiting::default()),
            places: Arc::new(Semaphore::new(JOBS)),
            max_bytes,
        }
    }

    /// Queues a record. A full queue refuses at once, so nothing piles up.
    pub fn append(&self, record: OutgoingRecord) -> Result<(), PortError> {
        let bytes = size_of::<OutgoingRecord>() + record.key.len() + record.value.len();
        let pushed = self.waiting.push(|waiting| {
            // One record is always taken, however large: or it never would be.
            if waiting.bytes + bytes > self.max_bytes && !waiting.appends.is_empty() {
                return Err("too many records wait for the disk");
            }
            waiting.bytes += bytes;
            waiting.appends.push(record);
            Ok(())
        });
        pushed.map_err(|rejected| match rejected {
            Rejected::Full(reason) => unavailable(reason),
            Rejected::Closed => unavailable(CLOSED),
        })
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
        self.push(work, Some(place))
    }

    /// As `send`, answer included, for a thread that may block; it needs no place.
    pub fn call_blocking<T, F>(&self, work: F) -> Result<T, Fault>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let answer = self.push(work, None);
        answer.0.wait_blocking().unwrap_or_else(lost)
    }

    fn push<T, F>(&self, work: F, place: Option<OwnedSemaphorePermit>) -> Answer<T>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let mut work = Some(work);
        let (job, answer) = Job::new(move |db: &Connection| {
            // Kept until the job is answered.
            let _place = &place;
            let work = work.take().expect("a job runs once");
            Ok(work(db)?)
        });
        // Closed: the job is dropped, which answers it.
        let _ = self.waiting.push(|waiting| {
            waiting.jobs.push_back(job);
            Ok::<_, Fault>(())
        });
        Answer(answer)
    }

    /// Waits for something to do and takes all appends; false when closed and empty.
    pub fn take(&self, appends: &mut Vec<OutgoingRecord>) -> bool {
        let taken = self.waiting.take(|waiting| {
            if waiting.appends.is_empty() && waiting.jobs.is_empty() {
                return None;
            }
            mem::swap(&mut waiting.appends, appends);
            waiting.bytes = 0;
            Some(())
        });
        taken.is_some()
    }

    pub fn next_job(&self) -> Option<Job> {
        self.waiting.try_take(|waiting| waiting.jobs.pop_front())
    }

    /// All jobs that wait at this moment.
    pub fn all_jobs(&self) -> VecDeque<Job> {
        let all = |waiting: &mut Waiting| Some(mem::take(&mut waiting.jobs));
        self.waiting.try_take(all).unwrap_or_default()
    }

    /// Takes nothing more; what is queued is still written.
    pub fn close(&self) {
        self.waiting.close();
    }

    /// Takes nothing more and drops what is queued: nobody writes any more.
    pub fn abandon(&self) {
        self.waiting.abandon();
    }
}

/// What a job will have come to.
pub(super) struct Answer<T>(threads::Answer<T, Fault>);

impl<T> Answer<T> {
    pub async fn wait(self) -> Result<T, Fault> {
        self.0.wait().await.unwrap_or_else(lost)
    }
}

const CLOSED: &str = "the data folder is closed";

fn lost<T>(_: Lost) -> Result<T, Fault> {
    Err(Fault::Unavailable(CLOSED.into()))
}

fn unavailable(reason: &str) -> PortError {
    metrics::counter!("lakechat_log_refused_total").increment(1);
    PortError::unavailable("broker", reason)
}
