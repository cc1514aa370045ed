//! The contracts between what lakechat is and what it stands on.
//!
//! A port's doc comment is its contract: order, delivery, what a retry does, what each error means,
//! whether dropping the future is safe. One contract suite per port runs against every adapter.

pub mod broker;
pub mod directory;
pub mod file_store;
pub mod history;
pub mod presence;

pub use broker::Broker;
pub use directory::{Channels, Directory, FileRows, LoginSessions, Users};
pub use file_store::FileStore;
pub use history::History;
pub use presence::Presence;

use crate::domain::Partition;

/// Why a back end did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Away, too slow or refusing for now. A write may have happened; trying again is safe.
    #[error("{part} is not available: {reason}")]
    Unavailable { part: &'static str, reason: String },
    /// It answered, and what it said can't be helped by trying again: an operator has to look.
    #[error("{part} failed: {reason}")]
    Broken { part: &'static str, reason: String },
    /// Log and history don't belong together any more, in one partition or, without one, in all:
    /// nothing of it may be read on, stored or told before an operator has looked.
    #[error("{part} failed: {reason}")]
    Stops {
        part: &'static str,
        partition: Option<Partition>,
        reason: String,
    },
}

impl PortError {
    pub fn unavailable(part: &'static str, reason: impl Into<String>) -> PortError {
        let reason = reason.into();
        PortError::Unavailable { part, reason }
    }

    pub fn broken(part: &'static str, reason: impl Into<String>) -> PortError {
        let reason = reason.into();
        PortError::Broken { part, reason }
    }

    pub fn stops(
        part: &'static str,
        partition: Option<Partition>,
        reason: impl Into<String>,
    ) -> PortError {
        let reason = reason.into();
        PortError::Stops {
            part,
            partition,
            reason,
        }
    }
}
