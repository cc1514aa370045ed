//! The thread that asks Kafka for offsets: each call waits for a broker, and none may wait behind
//! reading or writing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::doubts::Doubts;
use super::error::unavailable;
use super::metadata::{DEADLINE, MetadataClient};
use super::start_error::StartError;
use super::topic_health::TopicHealth;
use super::topics;
use lakechat_core::ports::PortError;
use lakechat_core::threads::{CallError, CallQueue, Context, OwnedThread, Taken};

/// Questions that may wait. Further ones are refused: the log does not answer those that are there.
const WAITING: usize = 64;

/// How often the thread polls librdkafka's events while there are no requests.
const LISTEN: Duration = Duration::from_secs(1);

/// The way to the thread; dropping it ends the thread.
pub(super) struct Questions {
    waiting: Arc<CallQueue<Asking>>,
    _thread: OwnedThread,
}

/// Questions work with the thread's client.
enum Asking {}

impl Context for Asking {
    type Ref<'a> = &'a mut MetadataClient;
    type Error = PortError;
}

impl Questions {
    pub fn start(
        mut asker: MetadataClient,
        health: Arc<TopicHealth>,
        doubts: Arc<Doubts>,
    ) -> Result<Questions, StartError> {
        let waiting = Arc::new(CallQueue::new(WAITING));
        let asked = Arc::clone(&waiting);
        let serve = move || answer(&mut asker, &asked, &health, &doubts);
        let thread = OwnedThread::restarting("kafka-questions", serve)
            .map_err(|error| StartError::Thread(error.to_string()))?;
        Ok(Questions {
            waiting,
            _thread: thread,
        })
    }

    /// Asks after this call, and waits for the answer: at most twice as long as one may take.
    /// Dropping is safe.
    pub async fn ask<T, F>(&self, question: F) -> Result<T, PortError>
    where
        F: FnOnce(&mut MetadataClient) -> Result<T, PortError> + Send + 'static,
        T: Send + 'static,
    {
        match timeout(2 * DEADLINE, self.waiting.call(question)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(CallError::Full)) => Err(unavailable("too many questions wait")),
            Ok(Err(CallError::Lost(lost))) => Err(unavailable(lost)),
            Err(_) => Err(unavailable("no answer in time")),
        }
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        self.waiting.close();
    }
}

fn answer(
    asker: &mut MetadataClient,
    asked: &CallQueue<Asking>,
    health: &TopicHealth,
    doubts: &Doubts,
) {
    // Often enough to confirm a change.
    let look = doubts.believe_after() / 6;
    let mut look_at = Instant::now() + look;
    loop {
        match asked.take_before(Instant::now() + LISTEN.min(look)) {
            Taken::Item(question) => question.perform(asker),
            Taken::DeadlineReached => asker.listen(),
            Taken::Closed => return,
        }
        if Instant::now() >= look_at {
            asker.listen();
            match topics::changed(asker, doubts) {
                Ok(found) => health.set(found),
                Err(error) => tracing::debug!(%error, "cannot describe the topic"),
            }
            look_at = Instant::now() + look;
        }
    }
}
