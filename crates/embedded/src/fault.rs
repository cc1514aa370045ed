//! What SQLite's errors mean here.

use std::sync::Arc;

use rusqlite::ErrorCode;
use tokio::sync::watch;

use lakechat_core::ports::PortError;

/// Why a statement or a transaction did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It certainly did not happen, and may work later: the database is locked, the disk is full.
    #[error("{0}")]
    Away(Arc<str>),
    /// This one can't work, others can.
    #[error("{0}")]
    Broken(Arc<str>),
    /// The database can't be trusted any more; whether it happened is unknown.
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
            ) => Fault::Away(reason),
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
            Fault::Away(reason) => PortError::unavailable(part, &*reason),
            Fault::Broken(reason) | Fault::Fatal(reason) => PortError::broken(part, &*reason),
        }
    }
}

/// Whether the database can still be trusted; no way back.
pub(super) struct Health {
    reason: watch::Sender<Option<Arc<str>>>,
}

impl Health {
    pub fn good() -> Health {
        Health {
            reason: watch::Sender::new(None),
        }
    }

    /// Takes note of a fatal fault; the first one stays.
    pub fn note(&self, fault: &Fault) {
        let Fault::Fatal(reason) = fault else { return };
        self.reason.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::error!(%reason, "the database failed; the process has to end");
                *known = Some(Arc::clone(reason));
            }
            first
        });
    }

    /// The fault that ended it, if one did.
    pub fn check(&self) -> Result<(), Fault> {
        match &*self.reason.borrow() {
            Some(reason) => Err(Fault::Fatal(Arc::clone(reason))),
            None => Ok(()),
        }
    }

    pub async fn failed(&self) -> Arc<str> {
        let mut seen = self.reason.subscribe();
        let failed = seen.wait_for(Option::is_some).await;
        let reason = failed.expect("the sender is borrowed meanwhile");
        Arc::clone(reason.as_ref().expect("waited for"))
    }
}
