//! The thread that asks Kafka for offsets: each call waits for a broker, and none may wait behind
//! reading or writing.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::doubts::Doubts;
use super::error::unavailable;
use super::metadata::{DEADLINE, MetadataClient};
use super::start_error::StartError;
use super::topic_health::TopicHealth;
use super::topics;
use lakechat_core::ports::PortError;

/// Questions that wait; more are refused, as the log does not answer those that are there.
const WAITING: usize = 64;

/// How often the thread takes in what librdkafka has to say when nobody asks.
const LISTEN: Duration = Duration::from_secs(1);

/// Does not wait for an answer that nobody waits for.
type Question = Box<dyn FnOnce(&mut MetadataClient) + Send>;

/// The way to the thread; dropping it ends the thread.
pub(super) struct Questions {
    waiting: Option<SyncSender<Question>>,
    thread: Option<JoinHandle<()>>,
}

impl Questions {
    pub fn start(
        asker: MetadataClient,
        fault: Arc<TopicHealth>,
        doubts: Arc<Doubts>,
    ) -> Result<Questions, StartError> {
        let (waiting, asked) = sync_channel(WAITING);
        let thread = thread::Builder::new()
            .name("kafka-questions".into())
            .spawn(move || answer(asker, &asked, &fault, &doubts))
            .map_err(|error| StartError::Thread(error.to_string()))?;
        Ok(Questions {
            waiting: Some(waiting),
            thread: Some(thread),
        })
    }

    /// Asks after this call, and waits for the answer: at most twice as long as one may take.
    /// Dropping is safe.
    pub async fn ask<T, F>(&self, question: F) -> Result<T, PortError>
    where
        F: FnOnce(&mut MetadataClient) -> Result<T, PortError> + Send + 'static,
        T: Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let question: Question = Box::new(move |asker| {
            if !tell.is_closed() {
                // Who asked may have left meanwhile.
                drop(tell.send(question(asker)));
            }
        });
        let waiting = self.waiting.as_ref().expect("there until it is dropped");
        match waiting.try_send(question) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(unavailable("too many questions wait")),
            Err(TrySendError::Disconnected(_)) => return Err(gone()),
        }
        match timeout(2 * DEADLINE, told).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(unavailable("no answer in time")),
        }
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(thread) = self.thread.take() {
            // After a panic all questions were answered as lost.
            let _ = thread.join();
        }
    }
}

fn answer(
    mut asker: MetadataClient,
    asked: &Receiver<Question>,
    fault: &TopicHealth,
    doubts: &Doubts,
) {
    // Often enough to confirm a change.
    let look = doubts.believe_after() / 6;
    let mut look_at = Instant::now() + look;
    loop {
        match asked.recv_timeout(LISTEN.min(look)) {
            Ok(question) => question(&mut asker),
            Err(RecvTimeoutError::Timeout) => asker.listen(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if Instant::now() >= look_at {
            asker.listen();
            match topics::changed(&asker, doubts) {
                Ok(found) => fault.set(found),
                Err(error) => tracing::debug!(%error, "cannot describe the topic"),
            }
            look_at = Instant::now() + look;
        }
    }
}

fn gone() -> PortError {
    unavailable("the log is closed")
}
