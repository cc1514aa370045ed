//! Waiting for who is away when the server starts.

use std::time::Duration;

use crate::readiness::{Part, Readiness};
use lakechat_core::domain::{Code, Problem};
use lakechat_core::ports::PortError;

/// How long to wait before something that is away is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Why something did not work at the start.
pub enum Hindrance {
    /// Trying again may help.
    Away(anyhow::Error),
    /// An operator has to look.
    Wrong(anyhow::Error),
}

/// Tries until a part answers, and says meanwhile who is waited for.
pub async fn once_there<T, F: Future<Output = Result<T, Hindrance>>>(
    readiness: &Readiness,
    part: Part,
    mut attempt: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let mut told = None;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(Hindrance::Wrong(error)) => return Err(error),
            Err(Hindrance::Away(error)) => readiness.set_down(part, format!("{error:#}")),
        }
        let reason = readiness.reason(part);
        if reason != told {
            let reason = reason.as_deref().unwrap_or_default();
            tracing::warn!(part = part.as_str(), "waiting to start: {reason}");
        }
        told = reason;
        tokio::time::sleep(RETRY).await;
    }
}

impl From<PortError> for Hindrance {
    fn from(error: PortError) -> Hindrance {
        match error {
            PortError::Unavailable { .. } => Hindrance::Away(error.into()),
            PortError::Broken { .. } | PortError::Stops { .. } => Hindrance::Wrong(error.into()),
        }
    }
}

impl From<anyhow::Error> for Hindrance {
    fn from(error: anyhow::Error) -> Hindrance {
        match error.downcast::<PortError>() {
            Ok(error) => error.into(),
            Err(error) => Hindrance::Wrong(error),
        }
    }
}

impl From<Problem> for Hindrance {
    fn from(problem: Problem) -> Hindrance {
        match problem.code {
            Code::DirectoryUnavailable => Hindrance::Away(anyhow::anyhow!(problem)),
            _ => Hindrance::Wrong(anyhow::anyhow!(problem)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::Shutdown;

    #[tokio::test(start_paused = true)]
    async fn who_is_away_is_waited_for_and_who_is_wrong_is_not() {
        let readiness = Readiness::new(Shutdown::new(), &[Part::History]);
        let mut tries = 0;
        let waited = once_there(&readiness, Part::History, || {
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
        let told = "history is not available: it restarts";
        assert_eq!(reason.as_deref(), Some(told));

        let wrong = once_there(&readiness, Part::History, || {
            let wrong = anyhow::Error::new(PortError::broken("history", "no right"));
            std::future::ready(Err::<(), Hindrance>(wrong.into()))
        });
        let error = wrong.await.expect_err("nobody waits");
        assert_eq!(error.to_string(), "history failed: no right");
    }
}
