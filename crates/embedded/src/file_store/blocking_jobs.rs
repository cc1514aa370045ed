//! The blocking jobs of the store: few at once, so that files can't take every blocking thread.

use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use super::finished;
use lakechat_core::ports::PortError;

/// Jobs that run at once. The other half of the runtime's blocking threads is left to reads of the
/// database. More would wait for the same disk anyway.
const AT_ONCE: usize = 4;

/// Places for jobs. Who comes later waits for one, without a thread, in the order of coming; each
/// belongs to a transfer or a sweep, whose number is bounded elsewhere.
#[derive(Clone)]
pub(crate) struct Jobs(Arc<Semaphore>);

impl Jobs {
    pub fn new() -> Jobs {
        Jobs(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// Waits for a place and starts a job, which ends by itself: it may wait for the disk, and for
    /// nobody else. The place is the job's, whether or not anybody still waits for its outcome.
    pub async fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> JoinHandle<io::Result<T>> {
        let places = Arc::clone(&self.0);
        let place = places.acquire_owned().await.expect("never closed");
        spawn_blocking(move || {
            let _place = place;
            work()
        })
    }

    /// As `start`, and waits for the outcome.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        finished(self.start(work).await.await)
    }
}
