//! Classifies SQLite's errors.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use rusqlite::ErrorCode;

use lakechat_core::ports::{PortError, Reason};

/// SQLite's error, or a text. All jobs of a transaction share it.
#[derive(Clone, Debug)]
pub(super) struct Cause(Arc<dyn Error + Send + Sync>);

impl From<&str> for Cause {
    fn from(text: &str) -> Cause {
        Cause(Reason::from(text).into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Cause> for Reason {
    fn from(cause: Cause) -> Reason {
        Box::new(cause.0)
    }
}

/// Why a statement or a transaction failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It certainly had no effect and may succeed later: the database is locked, the disk is full.
    #[error("{0}")]
    Unavailable(Cause),
    /// This statement can't succeed; others can.
    #[error("{0}")]
    Broken(Cause),
    /// The database can't be trusted any more. Whether the work had an effect is unknown.
    #[error("{0}")]
    Fatal(Cause),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        let code = error.sqlite_error_code();
        let reason = Cause(Arc::new(error));
        match code {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::FileLockingProtocolFailed,
            ) => Fault::Unavailable(reason),
            Some(
                ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase,
            ) => Fault::Fatal(reason),
            _ => Fault::Broken(reason),
        }
    }
}

impl Fault {
    pub fn into_port_error(self, part: &'static str) -> PortError {
        match self {
            Fault::Unavailable(reason) => PortError::unavailable(part, reason),
            Fault::Broken(reason) | Fault::Fatal(reason) => PortError::broken(part, reason),
        }
    }
}
