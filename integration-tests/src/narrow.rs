//! TCP connections of clients that take little of what they have asked for.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// Connects with a receive buffer so small that what isn't read soon waits in the server.
pub async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(address).await.expect("it listens")
}

/// The same, and begins a request.
pub async fn begin(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut tcp = connect(address).await;
    // A server that refuses early may close before it has read all.
    let _ = tcp.write_all(request).await;
    tcp
}
