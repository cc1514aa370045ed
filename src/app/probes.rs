//! Checks the back ends periodically and reports their state to `/readyz`.

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::readiness::{Part, Readiness};
use lakechat_core::ports::PortError;

/// Interval between two checks of a part.
const INTERVAL: Duration = Duration::from_secs(1);

/// A part that takes longer to answer counts as down.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A running check.
type Check = BoxFuture<'static, Result<(), PortError>>;

/// The check of one part.
pub struct Probe {
    part: Part,
    check: Box<dyn Fn() -> Check + Send + Sync>,
}

/// The checks of all parts. They run independently, so one that hangs does not delay the others.
pub struct Probes {
    probes: Vec<Probe>,
    readiness: Readiness,
}

impl Probes {
    pub fn new(probes: Vec<Probe>, readiness: Readiness) -> Probes {
        Probes { probes, readiness }
    }

    /// Checks every part once, and returns when each has answered or timed out. The returned future
    /// goes on checking and never completes.
    pub async fn start(self) -> impl Future<Output = ()> + Send + 'static {
        let first = self.probes.iter().map(|probe| probe.check(&self.readiness));
        let running = join_all(first).await;
        async move {
            let each = self.probes.iter().zip(running);
            join_all(each.map(|(probe, late)| probe.run(late, &self.readiness))).await;
        }
    }
}

impl Probe {
    pub fn new<F>(part: Part, check: impl Fn() -> F + Send + Sync + 'static) -> Probe
    where
        F: Future<Output = Result<(), PortError>> + Send + 'static,
    {
        Probe {
            part,
            check: Box::new(move || Box::pin(check())),
        }
    }

    async fn run(&self, mut late: Option<Check>, readiness: &Readiness) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick completes at once, and the first check was just made.
        ticks.tick().await;
        loop {
            if let Some(late) = late {
                // A second check meanwhile would hang as well.
                self.report(late.await, readiness);
            }
            ticks.tick().await;
            late = self.check(readiness).await;
        }
    }

    /// Runs the check once and reports its result. Returns the check if it timed out.
    async fn check(&self, readiness: &Readiness) -> Option<Check> {
        let mut check = (self.check)();
        match timeout(TIMEOUT, &mut check).await {
            Ok(answer) => {
                self.report(answer, readiness);
                None
            }
            Err(_) => {
                let reason = format!("no answer within {} s", TIMEOUT.as_secs());
                readiness.set_down(self.part, reason);
                Some(check)
            }
        }
    }

    fn report(&self, answer: Result<(), PortError>, readiness: &Readiness) {
        match answer {
            Ok(()) => readiness.set_up(self.part),
            Err(error) => readiness.set_down(self.part, error.to_string()),
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
    use crate::readiness::PartState;
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
        let (checked, mut checks) = mpsc::unbounded_channel();
        let lively = Probe::new(Part::Directory, move || {
            // The test's end drops what listens.
            let _ = checked.send(Instant::now());
            std::future::ready(Ok(()))
        });
        let hangs = waits(Part::Files, &permits, &asked);
        let probes = Probes::new(vec![lively, hangs], readiness.clone());
        let began = Instant::now();
        let probing = tokio::spawn(probes.start().await);
        assert_eq!(began.elapsed(), TIMEOUT);
        assert_eq!(readiness.state(Part::Directory), Some(PartState::Up));
        let said = reason(&readiness, Part::Files);
        assert_eq!(said.as_deref(), Some("no answer within 5 s"));
        let mut before = checks.recv().await.expect("checked at once");
        for n in 0..10 {
            let at = checks.recv().await.expect("checked again and again");
            assert!(n == 0 || at - before == INTERVAL, "{:?}", at - before);
            before = at;
        }
        assert_eq!(asked.load(SeqCst), 1, "a check that hangs is not repeated");
        permits.add_permits(1);
        while readiness.state(Part::Files) != Some(PartState::Up) {
            checks.recv().await.expect("checked again and again");
        }
        assert_eq!(reason(&readiness, Part::Files), None);
        probing.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn part_that_fails_is_down_until_it_answers() {
        let readiness = readiness();
        let (fail, failed) = (Arc::new(AtomicUsize::new(2)), mpsc::unbounded_channel());
        let (checked, mut checks) = failed;
        let probe = Probe::new(Part::Files, move || {
            let _ = checked.send(());
            let fails = fail.load(SeqCst) > 0;
            fail.fetch_sub(usize::from(fails), SeqCst);
            let full = PortError::unavailable("files", "the disk is full");
            std::future::ready(if fails { Err(full) } else { Ok(()) })
        });
        let probing = tokio::spawn(Probes::new(vec![probe], readiness.clone()).start().await);
        let said = reason(&readiness, Part::Files);
        assert_eq!(
            said.as_deref(),
            Some("files is not available: the disk is full")
        );
        while readiness.state(Part::Files) != Some(PartState::Up) {
            checks.recv().await.expect("checked again and again");
        }
        probing.abort();
    }
}
