//! From I/O errors to the errors of the port.

use std::io;

use rustix::io::Errno;
use tokio::task::JoinError;

use crate::part;
use lakechat_core::ports::PortError;

/// The outcome of a blocking job; a job that did not run to its end is `Unavailable`.
pub(super) fn outcome<T>(joined: Result<io::Result<T>, JoinError>) -> Result<T, PortError> {
    match joined {
        Ok(done) => done.map_err(port_error),
        Err(error) => Err(unavailable(error.to_string())),
    }
}

/// A file that is missing or short, and EIO, need an operator; anything else (a full disk, too many
/// open files) can pass.
pub(super) fn port_error(error: io::Error) -> PortError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => broken(error.to_string()),
        _ if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => broken(error.to_string()),
        _ => unavailable(error.to_string()),
    }
}

pub(super) fn broken(reason: String) -> PortError {
    PortError::broken(part::FILES, reason)
}

pub(super) fn unavailable(reason: String) -> PortError {
    PortError::unavailable(part::FILES, reason)
}
