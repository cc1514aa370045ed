//! Runs the store's blocking jobs, a few at a time, so that files can't occupy every blocking thread.

use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use super::errors::outcome;
use lakechat_core::ports::PortError;

/// BlockingJobs that run at once. The other half of the runtime's blocking threads is left to reads of the
/// database. More would wait for the same disk anyway.
const MAX_JOBS: usize = 4;

/// Permits for blocking jobs. Further callers wait for one in order, without a thread; each belongs
/// to a transfer or a sweep, whose number is bounded elsewhere.
#[derive(Clone)]
pub(crate) struct BlockingJobs(Arc<Semaphore>);

impl BlockingJobs {
    pub fn new() -> BlockingJobs {
        BlockingJobs(Arc::new(Semaphore::new(MAX_JOBS)))
    }

    /// Waits for a permit and starts a job. The job may wait for the disk only, so that it always
    /// ends. It keeps its permit until then, even if the caller has dropped the handle.
    pub async fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> JoinHandle<io::Result<T>> {
        let permits = Arc::clone(&self.0);
        let permit = permits.acquire_owned().await.expect("never closed");
        spawn_blocking(move || {
            let _permit = permit;
            work()
        })
    }

    /// Starts a job and waits for its outcome.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        outcome(self.start(work).await.await)
    }
}
