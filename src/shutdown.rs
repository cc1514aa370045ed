//! How the process ends: by a signal, or because one of its tasks did.
//!
//! Serving → draining (what faces clients finishes) → closing (what stands behind it flushes and
//! stops) → the end. What isn't done by its deadline is cut.

mod signals;
mod tasks;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use signals::{Signal, signals};
#[cfg(test)]
pub use tasks::Reason;
pub use tasks::{Deadlines, Outcome, Stage, Tasks};

/// Tells how far the end has come. Cheap to clone; clones are one.
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

    /// Begins the drain. Once begun it goes on to the end.
    pub fn begin(&self) {
        self.0.draining.cancel();
    }

    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Take nothing new in, finish what is under way.
    pub async fn draining(&self) {
        self.0.draining.cancelled().await;
    }

    /// The drain's time is over: what still faces a client is to be cut.
    pub async fn cutting(&self) {
        self.0.cutting.cancelled().await;
    }

    /// Nothing faces clients any more: flush, and stop.
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
