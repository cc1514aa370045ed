//! What `put` and `get` share: the login, the progress bar, and the retries while a server is unavailable.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use http::StatusCode;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep, timeout};

use super::chat::{LoginArgs, log_in_quietly, plain};
use lakechat_client::{CallError, Credentials};

/// How long a transfer is tried again while nothing moves.
const PATIENCE: Duration = Duration::from_secs(300);

/// A request that has not moved for this long is given up, and tried again.
const STALL_LIMIT: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Logs in. What concerns the login goes to standard error.
pub(super) async fn log_in(args: &LoginArgs) -> Result<Arc<Credentials>> {
    log_in_quietly(args).await
}

/// Foreign text in an error may control the terminal.
pub(super) fn printable(error: &anyhow::Error) -> anyhow::Error {
    anyhow!(plain(&format!("{error:#}")))
}

/// A bar on standard error, if that is a terminal. A size that is not known is left out.
pub(super) fn bar(name: &str, size: Option<u64>) -> ProgressBar {
    let template = match size {
        Some(_) => "{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
        None => "{msg} {spinner} {bytes}, {bytes_per_sec}",
    };
    let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
    bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
    bar.set_message(plain(name));
    bar
}

/// When a transfer is tried again after a failure.
pub(super) struct Retries {
    moved_at: Instant,
    pause: Duration,
}

impl Retries {
    pub fn new() -> Retries {
        Retries {
            moved_at: Instant::now(),
            pause: FIRST_PAUSE,
        }
    }

    /// The transfer has come further.
    pub fn moved(&mut self) {
        *self = Retries::new();
    }

    /// Waits before the next attempt, or returns the error if a further one makes no sense.
    pub async fn pause(&mut self, error: CallError) -> Result<(), CallError> {
        if !may_pass(&error) || self.moved_at.elapsed() > PATIENCE {
            return Err(error);
        }
        // Servers that restart are not met by all their clients at once.
        sleep(self.pause.mul_f64(rand::random_range(0.5..1.5))).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// Whether the same call may succeed later, also at another server behind the same address.
fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::Unreachable(_) => true,
        CallError::Redirected { .. } => false,
        CallError::Foreign { status } => status.is_server_error(),
        CallError::Refused { status, refusal } => {
            let codes = ["offset_conflict", "request_timeout", "bad_request"];
            refusal.is_temporary()
                || codes.contains(&refusal.code.as_str())
                || *status == StatusCode::BAD_GATEWAY
        }
    }
}

/// Runs a call as long as the bar moves; `None` if it stalled.
pub(super) async fn while_moving<T>(bar: &ProgressBar, call: impl Future<Output = T>) -> Option<T> {
    let mut call = std::pin::pin!(call);
    loop {
        let before = bar.position();
        match timeout(STALL_LIMIT, &mut call).await {
            Ok(done) => return Some(done),
            Err(_) if bar.position() == before => return None,
            Err(_) => {}
        }
    }
}
