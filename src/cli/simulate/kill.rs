//! Runs the command that kills something.

use std::io::stderr;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::run::Run;

/// The moments of the run at which the command runs, in order.
pub fn moments(
    at: &[Duration],
    every: Option<Duration>,
    end: Duration,
    rng: &mut StdRng,
) -> Vec<Duration> {
    let mut moments = at.to_vec();
    if let Some(every) = every {
        let mut next = Duration::ZERO;
        loop {
            next += every.mul_f64(rng.random_range(0.5..1.5));
            if next >= end {
                break;
            }
            moments.push(next);
        }
    }
    moments.sort();
    moments
}

/// Runs the command at each moment before the end of the run, one at a time.
pub async fn run_at(run: Arc<Run>, command: String, moments: Vec<Duration>) {
    for moment in moments {
        let moment = run.figures.started + moment;
        if run
            .end
            .run_until_cancelled(sleep_until(moment))
            .await
            .is_none()
        {
            return;
        }
        let now = run.figures.now();
        run.figures.tally().began_kill(now);
        let done = execute_beside(command.clone()).await;
        let now = run.figures.now();
        run.figures.tally().ended_kill(now);
        if let Err(error) = done {
            run.fail(format!("{error:#} (at {:.1} s)", now.as_secs_f64()));
        }
    }
}

/// On a thread of its own, which nobody waits for if the command never ends.
async fn execute_beside(command: String) -> Result<()> {
    let (sender, done) = oneshot::channel();
    std::thread::Builder::new().spawn(move || {
        // The run may have ended.
        let _ = sender.send(execute(&command));
    })?;
    done.await.context("the thread of --kill has ended")?
}

/// In a process group of its own, so that Ctrl-C does not reach a server that it starts.
fn execute(command: &str) -> Result<()> {
    // Standard output is for the report.
    let output = stderr().as_fd().try_clone_to_owned()?;
    let status = Command::new("sh")
        .args(["-c", command])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output)
        .status()
        .context("can't run the command of --kill")?;
    ensure!(status.success(), "the command of --kill failed: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn random_moments_depend_on_the_seed_and_lie_within_the_run() {
        let second = Duration::from_secs;
        let of = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            moments(&[], Some(second(10)), second(100), &mut rng)
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!((6..=20).contains(&of(1).len()), "{:?}", of(1));
        assert!(of(1).iter().all(|at| *at >= second(5) && *at < second(100)));
    }
}
