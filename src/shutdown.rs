//! How the process ends: after a signal, or because one of its tasks ended.
//!
//! Serving → draining (tasks that face clients finish) → closing (the tasks behind them flush and
//! stop) → exit. Tasks that miss their deadline are aborted.

mod phase;
mod signals;
mod tasks;

pub use phase::Shutdown;
pub use signals::signals;
#[cfg(test)]
pub use tasks::Reason;
pub use tasks::{Deadlines, Outcome, Stage, Tasks};
