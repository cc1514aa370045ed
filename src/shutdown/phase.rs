//! How far the shutdown has come.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// The phase of the shutdown. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<Phases>);

#[derive(Debug, Default)]
struct Phases {
    draining: CancellationToken,
    cutting: CancellationToken,
    closing: CancellationToken,
}

impl Shutdown {
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// Begins the drain, which can't be cancelled.
    pub fn begin(&self) {
        self.0.draining.cancel();
    }

    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Waits for the drain: accept nothing new, and finish what is under way.
    pub async fn draining(&self) {
        self.0.draining.cancelled().await;
    }

    /// Waits for the deadline of the drain: abort whatever still faces a client.
    pub async fn cutting(&self) {
        self.0.cutting.cancelled().await;
    }

    /// Waits for the end of the drain: no task faces clients any more; flush and stop.
    pub async fn closing(&self) {
        self.0.closing.cancelled().await;
    }

    pub(crate) fn cut(&self) {
        self.0.cutting.cancel();
    }

    pub(crate) fn close(&self) {
        self.0.closing.cancel();
    }
}
