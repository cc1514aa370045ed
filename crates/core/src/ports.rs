//! The contracts between lakechat and its back ends.
//!
//! A port's doc comment is its contract: effects, order, what a retry does, what each error means and
//! what dropping the future does. One contract suite per port runs against every adapter.

pub mod broker;
pub mod directory;
pub mod file_store;
pub mod history;
pub mod presence;
pub mod problem;

use std::error::Error;
use std::fmt;

pub use broker::Broker;
pub use directory::{Channels, Directory, FileRows, LoginSessions, Users};
pub use file_store::FileStore;
pub use history::History;
pub use presence::Presence;

use crate::domain::Partition;

/// What an adapter knows of a failure: its client library's error, or a text.
pub type Reason = Box<dyn Error + Send + Sync>;

/// Why a back end did not do what was asked.
///
/// The message contains the reason's; [`Error::source`] continues with the reason's own source.
#[derive(Debug)]
pub enum PortError {
    /// The back end cannot be reached, is too slow or refuses for now. A write may have happened;
    /// trying again is safe.
    Unavailable { part: &'static str, reason: Reason },
    /// The back end answered, and trying again would get the same answer: an operator has to act.
    Broken { part: &'static str, reason: Reason },
    /// Log and history no longer match, in one partition or, without one, in all. Nothing of it may
    /// be read, archived or answered until an operator has acted.
    Stops {
        part: &'static str,
        partition: Option<Partition>,
        reason: Reason,
    },
}

impl PortError {
    pub fn unavailable(part: &'static str, reason: impl Into<Reason>) -> PortError {
        let reason = reason.into();
        PortError::Unavailable { part, reason }
    }

    pub fn broken(part: &'static str, reason: impl Into<Reason>) -> PortError {
        let reason = reason.into();
        PortError::Broken { part, reason }
    }

    pub fn stops(
        part: &'static str,
        partition: Option<Partition>,
        reason: impl Into<Reason>,
    ) -> PortError {
        let reason = reason.into();
        PortError::Stops {
            part,
            partition,
            reason,
        }
    }

    pub fn reason(&self) -> &Reason {
        match self {
            PortError::Unavailable { reason, .. }
            | PortError::Broken { reason, .. }
            | PortError::Stops { reason, .. } => reason,
        }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortError::Unavailable { part, reason } => {
                write!(f, "{part} is not available: {reason}")
            }
            PortError::Broken { part, reason } | PortError::Stops { part, reason, .. } => {
                write!(f, "{part} failed: {reason}")
            }
        }
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason().source()
    }
}
