//! From I/O errors to the errors of the port.

use std::io;

use rustix::io::Errno;
use tokio::task::JoinError;

use crate::part;
use lakechat_core::ports::{PortError, Reason};

/// The outcome of a blocking job; a job that did not run to its end is `Unavailable`.
pub(super) fn outcome<T>(joined: Result<io::Result<T>, JoinError>) -> Result<T, PortError> {
    match joined {
        Ok(done) => done.map_err(port_error),
        Err(error) => Err(unavailable(error)),
    }
}

/// A file that is missing or short, and EIO, need an operator; anything else (a full disk, too many
/// open files) can pass.
pub(super) fn port_error(error: io::Error) -> PortError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => broken(error),
        _ if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => broken(error),
        _ => unavailable(error),
    }
}

pub(super) fn broken(reason: impl Into<Reason>) -> PortError {
    PortError::broken(part::FILES, reason)
}

pub(super) fn unavailable(reason: impl Into<Reason>) -> PortError {
    PortError::unavailable(part::FILES, reason)
}
