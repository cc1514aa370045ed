//! The listening socket, and what to do when accepting fails.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// How many connections the kernel queues while we are not accepting. It ignores further ones, and
/// the clients' TCP retries.
const BACKLOG: i32 = 4096;

/// The pause after a failed accept if the process or the system lacks resources.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens on the address, even if connections of an earlier process are still in TIME_WAIT.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The pause before the next accept. None if only that connection failed; a pause if the next would
/// fail in the same way (no file descriptors, no memory).
pub(super) fn pause_after(error: &io::Error) -> Option<Duration> {
    let one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    (!one_connection).then_some(PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepting_pauses_only_if_the_next_would_fail_too() {
        let emfile = io::Error::from_raw_os_error(24);
        assert_eq!(pause_after(&emfile), Some(PAUSE));
        assert_eq!(pause_after(&io::ErrorKind::ConnectionAborted.into()), None);
    }

    #[tokio::test]
    async fn an_address_left_by_closed_connections_can_be_taken_again() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let (server, _) = first.accept().await.unwrap();
        // The side that closes first is left in TIME_WAIT.
        drop(server);
        drop(client);
        drop(first);
        assert!(bind(address).is_ok());
    }
}
