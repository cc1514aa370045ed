//! Asks the parts that the server stands on how they do, and tells `/readyz`.

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::readiness::{Part, Readiness};
use lakechat_core::ports::PortError;

/// Between two questions to a part.
const PAUSE: Duration = Duration::from_secs(1);

/// A part that takes longer to answer is down.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a part will answer.
type Asked = BoxFuture<'static, Result<(), PortError>>;

/// How one part is asked.
pub struct Probe {
    part: Part,
    ask: Box<dyn Fn() -> Asked + Send + Sync>,
}

/// All that are asked, each at its own pace: one that hangs holds up no other.
pub struct Probes {
    probes: Vec<Probe>,
    readiness: Readiness,
}

impl Probes {
    pub fn new(probes: Vec<Probe>, readiness: Readiness) -> Probes {
        Probes { probes, readiness }
    }

    /// Asks every part once. Returns when each has answered or the deadline is over; the future that
    /// comes back asks on, for ever.
    pub async fn start(self) -> impl Future<Output = ()> + Send + 'static {
        let first = self.probes.iter().map(|probe| probe.ask(&self.readiness));
        let first = join_all(first).await;
        async move {
            let each = self.probes.iter().zip(first);
            join_all(each.map(|(probe, late)| probe.run(late, &self.readiness))).await;
        }
    }
}

impl Probe {
    pub fn new<F>(part: Part, ask: impl Fn() -> F + Send + Sync + 'static) -> Probe
    where
        F: Future<Output = Result<(), PortError>> + Send + 'static,
    {
        Probe {
            part,
            ask: Box::new(move || Box::pin(ask())),
        }
    }

    async fn run(&self, mut late: Option<Asked>, readiness: &Readiness) {
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once, and the part was asked just now.
        ticks.tick().await;
        loop {
            if let Some(late) = late {
                // Asking again meanwhile would pile up what hangs.
                self.tell(late.await, readiness);
            }
            ticks.tick().await;
            late = self.ask(readiness).await;
        }
    }

    /// Asks, and tells what came of it; gives the question back if its answer is overdue.
    async fn ask(&self, readiness: &Readiness) -> Option<Asked> {
        let mut asked = (self.ask)();
        match timeout(DEADLINE, &mut asked).await {
            Ok(answer) => {
                self.tell(answer, readiness);
                None
            }
            Err(_) => {
                let reason = format!("no answer within {} s", DEADLINE.as_secs());
                readiness.down(self.part, reason);
                Some(asked)
            }
        }
    }

    fn tell(&self, answer: Result<(), PortError>, readiness: &Readiness) {
        match answer {
            Ok(()) => readiness.up(self.part),
            Err(error) => readiness.down(self.part, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::sync::{Semaphore, mpsc};
    use tokio::time::Instant;

    use super::*;
    use crate::readiness::State;
    use crate::shutdown::Shutdown;

    fn readiness() -> Readiness {
        Readiness::new(Shutdown::new(), &[Part::Directory, Part::Files])
    }

    fn reason(readiness: &Readiness, part: Part) -> Option<String> {
        readiness.report().parts[&part].reason.clone()
    }

    /// A part that answers once for each permit, and counts how often it was asked.
    fn waits(part: Part, permits: &Arc<Semaphore>, asked: &Arc<AtomicUsize>) -> Probe {
        let (permits, asked) = (permits.clone(), asked.clone());
        Probe::new(part, move || {
            asked.fetch_add(1, SeqCst);
            let permits = permits.clone();
            async move {
                permits.acquire().await.expect("open").forget();
                Ok(())
            }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn part_that_hangs_is_down_and_holds_up_no_other() {
        let readiness = readiness();
        let (permits, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (tell, mut told) = mpsc::unbounded_channel();
        let lively = Probe::new(Part::Directory, move || {
            // The test's end drops what listens.
            let _ = tell.send(Instant::now());
            std::future::ready(Ok(()))
        });
        let hangs = waits(Part::Files, &permits, &asked);
        let probes = Probes::new(vec![lively, hangs], readiness.clone());
        let began = Instant::now();
        let asks_on = tokio::spawn(probes.start().await);
        assert_eq!(began.elapsed(), DEADLINE);
        assert_eq!(readiness.state(Part::Directory), Some(State::Up));
        let said = reason(&readiness, Part::Files);
        assert_eq!(said.as_deref(), Some("no answer within 5 s"));
        let mut before = told.recv().await.expect("asked at once");
        for n in 0..10 {
            let at = told.recv().await.expect("asked again and again");
            assert!(n == 0 || at - before == PAUSE, "{:?}", at - before);
            before = at;
        }
        assert_eq!(asked.load(SeqCst), 1, "what hangs is not asked again");
        permits.add_permits(1);
        while readiness.state(Part::Files) != Some(State::Up) {
            told.recv().await.expect("asked again and again");
        }
        assert_eq!(reason(&readiness, Part::Files), None);
        asks_on.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn part_that_fails_is_down_until_it_answers() {
        let readiness = readiness();
        let (fail, failed) = (Arc::new(AtomicUsize::new(2)), mpsc::unbounded_channel());
        let (tell, mut told) = failed;
        let probe = Probe::new(Part::Files, move || {
            let _ = tell.send(());
            let fails = fail.load(SeqCst) > 0;
            fail.fetch_sub(usize::from(fails), SeqCst);
            let full = PortError::Unavailable {
                part: "files",
                reason: "the disk is full".into(),
            };
            std::future::ready(if fails { Err(full) } else { Ok(()) })
        });
        let asks_on = tokio::spawn(Probes::new(vec![probe], readiness.clone()).start().await);
        let said = reason(&readiness, Part::Files);
        assert_eq!(
            said.as_deref(),
            Some("files is not available: the disk is full")
        );
        while readiness.state(Part::Files) != Some(State::Up) {
            told.recv().await.expect("asked again and again");
        }
        asks_on.abort();
    }
}
