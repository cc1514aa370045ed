//! Classifies SQLite's errors.

use std::sync::Arc;

use rusqlite::ErrorCode;

use lakechat_core::ports::PortError;

/// Why a statement or a transaction failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It certainly had no effect and may succeed later: the database is locked, the disk is full.
    #[error("{0}")]
    Unavailable(Arc<str>),
    /// This statement can't succeed; others can.
    #[error("{0}")]
    Broken(Arc<str>),
    /// The database can't be trusted any more. Whether the work had an effect is unknown.
    #[error("{0}")]
    Fatal(Arc<str>),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        let reason = error.to_string().into();
        match error.sqlite_error_code() {
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
            Fault::Unavailable(reason) => PortError::unavailable(part, &*reason),
            Fault::Broken(reason) | Fault::Fatal(reason) => PortError::broken(part, &*reason),
        }
    }
}
