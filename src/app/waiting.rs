//! Trying a step of the start again for as long as a back end is unavailable.

use std::time::Duration;

use crate::readiness::{Part, Readiness};
use lakechat_core::chat;
use lakechat_core::domain::{Code, Problem};
use lakechat_core::ports::PortError;

/// The pause before a step is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Why a step of the start failed.
pub enum StepError {
    /// Trying again may help. `part`: what is unavailable, if it isn't what the step is about.
    Unavailable {
        part: Option<Part>,
        error: anyhow::Error,
    },
    /// An operator has to act.
    Fatal(anyhow::Error),
}

impl StepError {
    pub fn unavailable(error: impl Into<anyhow::Error>) -> StepError {
        StepError::Unavailable {
            part: None,
            error: error.into(),
        }
    }

    /// Names the part that is unavailable.
    pub fn within(self, part: Part) -> StepError {
        match self {
            StepError::Unavailable { error, .. } => StepError::Unavailable {
                part: Some(part),
                error,
            },
            fatal => fatal,
        }
    }
}

/// Tries a step until it succeeds or fails for good. Meanwhile readiness and the log name the part
/// that the start waits for.
pub async fn retry_while_unavailable<T, F: Future<Output = Result<T, StepError>>>(
    readiness: &Readiness,
    step_part: Part,
    mut attempt: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let mut logged = None;
    loop {
        let (part, error) = match attempt().await {
            Ok(done) => return Ok(done),
            Err(StepError::Fatal(error)) => return Err(error),
            Err(StepError::Unavailable { part, error }) => (part.unwrap_or(step_part), error),
        };
        readiness.set_down(part, format!("{error:#}"));
        let reason = readiness.reason(part);
        if reason != logged {
            let reason = reason.as_deref().unwrap_or_default();
            tracing::warn!(part = part.as_str(), "waiting to start: {reason}");
        }
        logged = reason;
        tokio::time::sleep(RETRY).await;
    }
}

impl From<PortError> for StepError {
    fn from(error: PortError) -> StepError {
        match error {
            PortError::Unavailable { .. } => StepError::unavailable(error),
            PortError::Broken { .. } | PortError::Stops { .. } => StepError::Fatal(error.into()),
        }
    }
}

impl From<chat::StartError> for StepError {
    fn from(error: chat::StartError) -> StepError {
        match error {
            chat::StartError::History(error) => StepError::from(error).within(Part::History),
            chat::StartError::Broker(error) => StepError::from(error).within(Part::Broker),
            chat::StartError::Thread(_) => StepError::Fatal(error.into()),
        }
    }
}

impl From<Problem> for StepError {
    fn from(problem: Problem) -> StepError {
        match problem.code {
            Code::DirectoryUnavailable => StepError::unavailable(problem),
            _ => StepError::Fatal(problem.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::Shutdown;

    #[tokio::test(start_paused = true)]
    async fn unavailable_part_is_waited_for_and_a_broken_one_is_not() {
        let readiness = Readiness::new(Shutdown::new(), &[Part::History]);
        let mut tries = 0;
        let waited = retry_while_unavailable(&readiness, Part::History, || {
            tries += 1;
            let away = PortError::unavailable("history", "it restarts");
            std::future::ready(if tries < 3 {
                Err(away.into())
            } else {
                Ok(tries)
            })
        });
        assert_eq!(waited.await.expect("it came back"), 3);
        let reason = readiness.reason(Part::History);
        let expected = "history is not available: it restarts";
        assert_eq!(reason.as_deref(), Some(expected));

        let wrong = retry_while_unavailable(&readiness, Part::History, || {
            let wrong = PortError::broken("history", "no right");
            std::future::ready(Err::<(), StepError>(wrong.into()))
        });
        let error = wrong.await.expect_err("a broken part is fatal");
        assert_eq!(error.to_string(), "history failed: no right");
    }
}
