//! Whether the database can still be trusted.

use tokio::sync::watch;

use super::fault::{Cause, Fault};

/// Healthy until the first fatal fault, which is permanent: only reopening the data folder shows
/// what is on the disk.
pub(super) struct Health {
    failure: watch::Sender<Option<Cause>>,
}

impl Health {
    pub fn healthy() -> Health {
        Health {
            failure: watch::Sender::new(None),
        }
    }

    /// Records a fatal fault and ignores any other. The first one is kept.
    pub fn report(&self, fault: &Fault) {
        let Fault::Fatal(reason) = fault else { return };
        self.failure.send_if_modified(|failure| {
            let is_first = failure.is_none();
            if is_first {
                tracing::error!(%reason, "the database failed; the process has to end");
                *failure = Some(reason.clone());
            }
            is_first
        });
    }

    /// The recorded fault, as the error of this call.
    pub fn check(&self) -> Result<(), Fault> {
        match &*self.failure.borrow() {
            Some(reason) => Err(Fault::Fatal(reason.clone())),
            None => Ok(()),
        }
    }

    /// Waits for the first fatal fault.
    pub async fn failed(&self) -> Cause {
        let mut failures = self.failure.subscribe();
        let failure = failures.wait_for(Option::is_some).await;
        let reason = failure.expect("the sender lives as long as this borrow");
        reason.clone().expect("waited for")
    }
}
