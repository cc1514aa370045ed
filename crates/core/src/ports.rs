//! The contracts between lakechat and its back ends.
//!
//! A port's doc comment is its contract: effects, order, retries, the meaning of each error, and
//! what dropping a future does. One contract suite per port runs against every adapter.

pub mod broker;
pub mod caller;
pub mod directory;
pub mod file_store;
pub mod history;
mod per_partition;
pub mod presence;
pub mod problem;
pub mod retry;
pub mod revocations;

use std::error::Error;
use std::fmt;

pub use broker::Broker;
pub use caller::{CalledFor, Caller};
pub use directory::{
    AuditTrail, Channels, Directory, FileRows, Invites, LoginSessions, UploadRows, UserRows, Users,
};
pub use file_store::FileStore;
pub use history::History;
pub use per_partition::PerPartition;
pub use presence::Presence;
pub use revocations::Revocations;

use crate::domain::Partition;

/// The cause of a failure: the error of the adapter's client library, or a text.
pub type Reason = Box<dyn Error + Send + Sync>;

/// Why a call to a back end failed.
///
/// `part` names the back end for operators. The [`Display`](fmt::Display) text includes that of the
/// reason; [`Error::source`] continues with the reason's own source.
#[derive(Debug)]
pub enum PortError {
    /// The back end can't be reached, is too slow, or refuses for a reason that may pass, such as a
    /// full disk. A write may have happened, unless the call's contract excludes it. Retrying is
    /// safe.
    Unavailable { part: &'static str, reason: Reason },
    /// The call failed in a way that a retry can't resolve: an operator has to act. A write may
    /// have happened, unless the call's contract excludes it.
    Broken { part: &'static str, reason: Reason },
    /// The log can't be read on from where history ends, or history belongs to another log. This
    /// concerns one partition, or all of them if `partition` is `None`. A partition that is
    /// concerned must not be read, archived or served until an operator has acted.
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
