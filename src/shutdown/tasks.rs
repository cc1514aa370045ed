//! The long-lived tasks of the process. A task that ends by itself shuts the process down.

mod group;

use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use super::phase::Shutdown;
use super::signals::Signal;
use group::Group;

/// When a task has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Faces clients: ends on `draining`, or at the latest on `cutting`.
    Front,
    /// Serves the front: ends on `closing`, after every front task.
    Back,
}

/// How long each stage may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    pub drain: Duration,
    pub close: Duration,
}

impl Default for Deadlines {
    /// 25 s in total: Kubernetes kills a container after 30 s.
    fn default() -> Deadlines {
        Deadlines {
            drain: Duration::from_secs(20),
            close: Duration::from_secs(5),
        }
    }
}

/// Why the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    Signal(Signal),
    /// `Shutdown::begin` was called.
    Requested,
    /// This task ended before the shutdown.
    Died(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Signal(signal) => signal.fmt(f),
            Reason::Requested => f.write_str("requested"),
            Reason::Died(task) => write!(f, "task {task} ended unexpectedly"),
        }
    }
}

/// How the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub reason: Reason,
    /// The second signal, which ended the process at once.
    pub forced: Option<Signal>,
    /// Tasks that failed, before or during the shutdown.
    pub failed: Vec<&'static str>,
    /// Tasks that missed their deadline.
    pub cut: Vec<&'static str>,
}

impl Outcome {
    /// 0 after an orderly shutdown, 1 if a task failed, 129, 130 or 143 after a second signal.
    pub fn exit_code(&self) -> i32 {
        match self.forced {
            Some(signal) => signal.exit_code(),
            None => i32::from(!self.failed.is_empty()),
        }
    }
}

/// The tasks of the process, by name.
#[derive(Debug)]
pub struct Tasks {
    shutdown: Shutdown,
    front: Group,
    back: Group,
    failed: Vec<&'static str>,
}

impl Tasks {
    pub fn new(shutdown: Shutdown) -> Tasks {
        Tasks {
            shutdown,
            front: Group::default(),
            back: Group::default(),
            failed: Vec::new(),
        }
    }

    /// Spawns `work`. It has to run until its stage ends; if it ends before, the process shuts down.
    pub fn spawn<E>(
        &mut self,
        stage: Stage,
        name: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let task = async move { work.await.map_err(Into::into) };
        match stage {
            Stage::Front => self.front.spawn(name, task),
            Stage::Back => self.back.spawn(name, task),
        }
    }

    /// Waits for a reason to shut down, then shuts all tasks down. After a second signal it returns
    /// at once: tasks are still running, and the caller has to exit.
    pub async fn run(
        mut self,
        mut signals: impl Stream<Item = Signal> + Unpin,
        deadlines: Deadlines,
    ) -> Outcome {
        let reason = self.reason_to_end(&mut signals).await;
        let began = Instant::now();
        tracing::info!("draining: {reason}");
        self.shutdown.begin();
        let (forced, cut) = tokio::select! {
            // After a second signal the process exits without the rest of the shutdown.
            Some(signal) = signals.next() => (Some(signal), Vec::new()),
            cut = self.wind_down(deadlines) => (None, cut),
        };
        let failed = self.failed;
        let outcome = Outcome {
            reason,
            forced,
            failed,
            cut,
        };
        report(&outcome, began.elapsed());
        outcome
    }

    async fn reason_to_end(
        &mut self,
        signals: &mut (impl Stream<Item = Signal> + Unpin),
    ) -> Reason {
        let (name, result) = tokio::select! {
            // The drain waits for the branches that lose here.
            biased;
            Some(signal) = signals.next() => return Reason::Signal(signal),
            () = self.shutdown.draining() => return Reason::Requested,
            Some(ended) = self.front.next() => ended,
            Some(ended) = self.back.next() => ended,
        };
        match result {
            Ok(()) => tracing::error!(task = name, "task {name} ended unexpectedly"),
            Err(e) => tracing::error!(task = name, "task {name} failed: {e}"),
        }
        self.failed.push(name);
        Reason::Died(name)
    }

    async fn wind_down(&mut self, deadlines: Deadlines) -> Vec<&'static str> {
        let mut cut = Vec::new();
        if timeout(deadlines.drain, self.front.end(&mut self.failed))
            .await
            .is_err()
        {
            cut.extend(self.front.running());
            self.shutdown.cut();
            self.front.end_now(&mut self.failed).await;
        }
        self.shutdown.close();
        if timeout(deadlines.close, self.back.end(&mut self.failed))
            .await
            .is_err()
        {
            cut.extend(self.back.running());
            self.back.end_now(&mut self.failed).await;
        }
        cut
    }
}

fn report(outcome: &Outcome, took: Duration) {
    let duration_ms = took.as_millis() as u64;
    match (&outcome.forced, outcome.cut.is_empty()) {
        (Some(signal), _) => {
            tracing::warn!(duration_ms, "second signal ({signal}): exiting at once")
        }
        (None, true) => tracing::info!(duration_ms, "drained"),
        (None, false) => {
            let cut = outcome.cut.join(", ");
            tracing::warn!(
                duration_ms,
                "drained; tasks aborted at their deadline: {cut}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;
    use tokio::sync::mpsc;

    const QUICK: Deadlines = Deadlines {
        drain: Duration::from_millis(30),
        close: Duration::from_millis(30),
    };

    fn one_signal() -> impl Stream<Item = Signal> + Unpin {
        stream::iter([Signal::Terminate]).chain(stream::pending())
    }

    async fn log_when(
        phase: impl Future<Output = ()>,
        text: &'static str,
        log: mpsc::UnboundedSender<&'static str>,
    ) -> Result<(), Infallible> {
        phase.await;
        log.send(text).expect("the test listens");
        Ok(())
    }

    #[tokio::test]
    async fn the_back_closes_after_the_front_has_drained() {
        let (log, mut said) = mpsc::unbounded_channel();
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let (s, l) = (shutdown.clone(), log.clone());
        tasks.spawn(Stage::Back, "archiver", async move {
            log_when(s.closing(), "closed", l).await
        });
        let s = shutdown.clone();
        tasks.spawn(Stage::Front, "http", async move {
            log_when(s.draining(), "drained", log).await
        });
        let outcome = tasks.run(one_signal(), Deadlines::default()).await;
        assert_eq!(outcome.reason, Reason::Signal(Signal::Terminate));
        assert_eq!((outcome.exit_code(), outcome.cut.len()), (0, 0));
        assert_eq!(said.recv().await, Some("drained"));
        assert_eq!(said.recv().await, Some("closed"));
    }

    async fn outcome_beside(
        work: impl Future<Output = Result<(), &'static str>> + Send + 'static,
    ) -> Outcome {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.spawn(Stage::Front, "http", async move {
            shutdown.draining().await;
            Ok::<_, Infallible>(())
        });
        tasks.spawn(Stage::Back, "archiver", work);
        tasks.run(stream::pending(), Deadlines::default()).await
    }

    #[tokio::test]
    async fn a_task_that_dies_takes_the_process_down() {
        let failing = outcome_beside(async { Err("disk full") }).await;
        let panicking = outcome_beside(async { panic!("as a bug would") }).await;
        let leaving = outcome_beside(async { Ok(()) }).await;
        for outcome in [failing, panicking, leaving] {
            assert_eq!(outcome.reason, Reason::Died("archiver"));
            assert_eq!(outcome.exit_code(), 1);
        }
    }

    #[tokio::test]
    async fn what_is_not_done_at_the_deadline_is_cut_and_named() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.spawn(Stage::Front, "obedient", async move {
            shutdown.cutting().await;
            Ok::<_, Infallible>(())
        });
        tasks.spawn(
            Stage::Back,
            "stuck",
            std::future::pending::<Result<(), Infallible>>(),
        );
        let outcome = tasks.run(one_signal(), QUICK).await;
        assert_eq!(outcome.cut, ["obedient", "stuck"]);
        assert_eq!(outcome.exit_code(), 0);
    }

    #[tokio::test]
    async fn a_second_signal_ends_at_once() {
        let mut tasks = Tasks::new(Shutdown::new());
        tasks.spawn(
            Stage::Front,
            "stuck",
            std::future::pending::<Result<(), Infallible>>(),
        );
        let signals = stream::iter([Signal::Terminate, Signal::Interrupt]);
        let outcome = tasks.run(signals, Deadlines::default()).await;
        assert_eq!(outcome.forced, Some(Signal::Interrupt));
        assert_eq!(outcome.exit_code(), 130);
    }
}
