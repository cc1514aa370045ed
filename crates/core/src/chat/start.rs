//! Assembles chat from its ports: the log and its reader, the hub, the barrier, the archiver.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::archive;
use super::clock::Pulse;
use super::hub::Hub;
use super::log::Log;
use super::log::barrier::Barrier;
use super::log::reader::{self, plan::Plan};
use super::read::Reads;
use super::send_limits::SendLimits;
use super::service::{Chat, ChatSettings, DirectoryPorts};
use crate::ports::{Broker, History, PortError, Presence};

/// The ports that chat uses.
#[derive(Clone)]
pub struct Ports {
    pub broker: Arc<dyn Broker>,
    pub history: Arc<dyn History>,
    pub directory: DirectoryPorts,
    pub presence: Arc<dyn Presence>,
}

/// Why [`start`] failed. Nothing is running then, and it may be called again.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    History(PortError),
    #[error(transparent)]
    Broker(PortError),
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

/// A started chat. Its threads run; its caller spawns the tasks.
pub struct Running {
    pub chat: Arc<Chat>,
    pub threads: Threads,
    /// The caller runs each one until it returns, which it does after its `stop` is cancelled.
    pub tasks: Vec<BackgroundTask>,
}

/// A task of chat that the caller spawns and awaits.
pub struct BackgroundTask {
    pub name: &'static str,
    pub stop: CancellationToken,
    pub run: BoxFuture<'static, ()>,
}

/// The threads of chat. Dropping this stops and joins them, which blocks for about one poll of the
/// log.
pub struct Threads {
    stop: Arc<AtomicBool>,
    running: Vec<(&'static str, JoinHandle<()>)>,
    ended: Vec<(&'static str, oneshot::Receiver<Infallible>)>,
}

/// Starts chat. The reader begins far enough below the marks of history to warm up the fold.
///
/// Until the reader has caught up, sends are refused and reads wait: see [`Chat::caught_up`].
pub async fn start(ports: Ports, settings: ChatSettings) -> Result<Running, StartError> {
    // The calls that can fail temporarily come first. `Log::new` and `Hub::new` register with the
    // ports, which is allowed only once.
    let marks = ports.history.marks().await.map_err(StartError::History)?;
    let plan = Plan::make(ports.broker.as_ref(), &marks)
        .await
        .map_err(StartError::Broker)?;

    let log = Log::new(ports.broker, settings.memory);
    let hub = Hub::new(ports.presence.clone(), settings.live_bytes);
    let pulse = Arc::new(Pulse::new());
    let barrier = Barrier::new(log.clone());
    let mut threads = Threads::none();
    let (of_user, of_channel) = (settings.sends_per_user, settings.sends_per_channel);
    let limits = Arc::new(SendLimits::new(of_user, of_channel));
    let (planned, later) = reader::plan::begin(&log, plan);
    threads.add("log reader", |stop, alive| {
        let receivers = (hub.clone(), limits.clone());
        reader::spawn(log.clone(), receivers, planned, stop, alive)
    })?;
    threads.add("pulse", |stop, alive| pulse.start(stop, alive))?;

    let (closing, stopped) = (hub.clone(), log.stopped_partitions().subscribe());
    let (asking, history, presence) = (barrier.clone(), ports.history, ports.presence);
    let (batching, archived) = (settings.archive, history.clone());
    let archived_log = log.clone();
    let tasks = vec![
        BackgroundTask::new("barrier", |stop| async move {
            // Cancelling loses nothing: waiting reads get an error, at the latest at their
            // deadline.
            stop.run_until_cancelled(asking.run()).await;
        }),
        BackgroundTask::new("late partitions", |stop| async move {
            // Cancelling loses nothing: the partitions are read after the next start.
            stop.run_until_cancelled(later.run()).await;
            stop.cancelled().await;
        }),
        BackgroundTask::new("stopped partitions", |stop| async move {
            // Cancelling loses nothing: at the end of the server every session is closed.
            stop.run_until_cancelled(closing.close_sessions_of(stopped))
                .await;
        }),
        BackgroundTask::new("archiver", |stop| {
            archive::run(archived_log, archived, batching, stop)
        }),
        BackgroundTask::new("presence", |stop| async move {
            presence.run(stop).await;
        }),
    ];
    let reads = Reads::new(log.clone(), history, barrier);
    let chat = Chat::new(settings, log, hub, pulse, reads, ports.directory, limits);
    Ok(Running {
        chat: Arc::new(chat),
        threads,
        tasks,
    })
}

impl BackgroundTask {
    fn new<F>(name: &'static str, run: impl FnOnce(CancellationToken) -> F) -> BackgroundTask
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let run = run(stop.clone()).boxed();
        BackgroundTask { name, stop, run }
    }
}

impl Threads {
    fn none() -> Threads {
        Threads {
            stop: Arc::default(),
            running: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn add(
        &mut self,
        name: &'static str,
        spawn: impl FnOnce(
            Arc<AtomicBool>,
            oneshot::Sender<Infallible>,
        ) -> std::io::Result<JoinHandle<()>>,
    ) -> std::io::Result<()> {
        let (alive, ended) = oneshot::channel();
        self.running.push((name, spawn(self.stop.clone(), alive)?));
        self.ended.push((name, ended));
        Ok(())
    }

    /// Returns, per thread, its name and a receiver that fails when the thread has ended. Empty
    /// after the first call.
    pub fn take_ended(&mut self) -> Vec<(&'static str, oneshot::Receiver<Infallible>)> {
        std::mem::take(&mut self.ended)
    }

    /// Stops and joins the threads. Returns the names of the threads that panicked.
    pub fn join(mut self) -> Vec<&'static str> {
        self.stop_and_join()
    }

    fn stop_and_join(&mut self) -> Vec<&'static str> {
        self.stop.store(true, Relaxed);
        let mut panicked = Vec::new();
        for (name, thread) in self.running.drain(..) {
            // A thread may be parked between two polls or ticks.
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!(thread = name, "a thread has panicked");
                panicked.push(name);
            }
        }
        panicked
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}
