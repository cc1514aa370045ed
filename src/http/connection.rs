//! The socket of a client, as hyper uses it, and how to take it back after an upgrade.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::address_slots::AddressSlot;
use crate::http::min_rate::MinRate;
use crate::http::parser_refusal::{self, RequestSeen};
use crate::http::stall_timer::StallTimer;

/// A slot among the open connections of the server and of the peer. Dropping it frees both.
#[derive(Debug)]
pub struct ConnectionPermit {
    #[expect(dead_code, reason = "held for its drop")]
    slot: OwnedSemaphorePermit,
    #[expect(dead_code, reason = "held for its drop")]
    peer_slot: Option<AddressSlot>,
}

impl ConnectionPermit {
    /// A trusted proxy has no `peer_slot`: it is not limited.
    pub(super) fn new(
        slot: OwnedSemaphorePermit,
        peer_slot: Option<AddressSlot>,
    ) -> ConnectionPermit {
        metrics::gauge!("lakechat_connections_open").increment(1);
        ConnectionPermit { slot, peer_slot }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        metrics::gauge!("lakechat_connections_open").decrement(1);
    }
}

/// Whether everything the client sent belongs to requests that were read to their end. If not,
/// closing at once would make the kernel reset the connection, and the client could lose the
/// response.
#[derive(Clone, Debug, Default)]
pub(super) struct FullyRead(Arc<AtomicBool>);

impl FullyRead {
    pub(super) fn set(&self, fully_read: bool) {
        self.0.store(fully_read, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A TCP stream and its slot among the connections. Writing fails if the client reads too slowly;
/// closing waits so that the client receives what was written.
#[derive(Debug)]
pub struct ClientSocket {
    stream: TcpStream,
    permit: ConnectionPermit,
    fully_read: FullyRead,
    seen: RequestSeen,
    /// What is left to write of hyper's own refusal.
    refusal: Option<Bytes>,
    write: StallTimer,
    write_rate: MinRate,
    linger: StallTimer,
    is_closing: bool,
}

/// How slow a client may be.
#[derive(Debug)]
pub(super) struct SocketLimits {
    /// How long it may read nothing of a response.
    pub(super) write_timeout: Duration,
    /// How fast it must read while we wait for it.
    pub(super) write_rate: MinRate,
    /// How long after the response its input is still read.
    pub(super) linger: Duration,
}

/// A connection after an upgrade from HTTP.
#[derive(Debug)]
pub struct UpgradedSocket {
    pub stream: TcpStream,
    /// What the client sent directly after its upgrade request: precedes everything in `stream`.
    pub read: Bytes,
    /// To be kept as long as the stream.
    pub permit: ConnectionPermit,
}

/// Takes the socket out of an upgraded connection and frees what HTTP had allocated for it.
/// None if the connection does not belong to our server.
pub fn reclaim(upgraded: Upgraded) -> Option<UpgradedSocket> {
    let parts = upgraded.downcast::<TokioIo<ClientSocket>>().ok()?;
    let socket = parts.io.into_inner();
    Some(UpgradedSocket {
        stream: socket.stream,
        // A slice, even an empty one, would keep hyper's whole read buffer alive.
        read: Bytes::copy_from_slice(&parts.read_buf),
        permit: socket.permit,
    })
}

impl ClientSocket {
    pub(super) fn new(
        stream: TcpStream,
        permit: ConnectionPermit,
        limits: SocketLimits,
    ) -> ClientSocket {
        ClientSocket {
            stream,
            permit,
            fully_read: FullyRead(Arc::new(AtomicBool::new(true))),
            seen: RequestSeen::default(),
            refusal: None,
            write: StallTimer::new(limits.write_timeout),
            write_rate: limits.write_rate,
            linger: StallTimer::new(limits.linger),
            is_closing: false,
        }
    }

    pub(super) fn fully_read(&self) -> FullyRead {
        self.fully_read.clone()
    }

    pub(super) fn request_seen(&self) -> RequestSeen {
        self.seen.clone()
    }

    /// Writes the whole of hyper's own refusal, with a body. hyper repeats the call until it is
    /// ready.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Poll<io::Result<usize>> {
        let mut left = match self.refusal.take() {
            Some(left) => left,
            None => parser_refusal::complete(head),
        };
        while !left.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &left);
            let Poll::Ready(written) = self.check_write(cx, written) else {
                self.refusal = Some(left);
                return Poll::Pending;
            };
            left.advance(written?);
        }
        Poll::Ready(Ok(head.len()))
    }

    fn check_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            ready!(self.write.poll_stalled(cx));
            let text = format!("the client read nothing for {:?}", self.write.limit());
            return Poll::Ready(Err(cut("not_reading", text)));
        };
        let bytes = written?;
        let kept = self.write_rate.count(bytes, self.write.end_wait());
        let kept = kept.map_err(|slow| cut("reading_slowly", slow.to_string()));
        Poll::Ready(kept.map(|()| bytes))
    }

    /// Reads and discards what the client still sends, until it has closed too.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.linger.poll_stalled(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut waste = [0; 8192];
        // A few rounds at a time, so that a client that floods us does not block the thread.
        for _ in 0..16 {
            let mut buffer = ReadBuf::new(&mut waste);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if self.fully_read.get() => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Counts a connection that is cut, and returns the error that cuts it.
fn cut(reason: &'static str, text: String) -> io::Error {
    metrics::counter!("lakechat_connections_cut_total", "reason" => reason).increment(1);
    io::Error::new(io::ErrorKind::TimedOut, text)
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.fully_read.set(false);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.seen.get() {
            return self.poll_refuse(cx, data);
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, data);
        self.check_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.seen.get() {
            let head = data.iter().find(|part| !part.is_empty());
            return self.poll_refuse(cx, head.map_or(&[], |head| &**head));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.check_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_closing {
            // It fails only if the client has reset the connection: there is nothing to wait for.
            if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
                return Poll::Ready(Ok(()));
            }
            self.is_closing = true;
        }
        self.poll_discard(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::sync::Semaphore;
    use tokio::time::interval;

    use super::*;

    /// Both ends of a connection, with the smallest buffers that the kernel allows.
    async fn narrow() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let client = TcpSocket::new_v4().expect("a socket");
        client.set_recv_buffer_size(1).expect("a size");
        let address = listener.local_addr().expect("bound");
        let (client, server) = tokio::join!(client.connect(address), listener.accept());
        let (server, _) = server.expect("it comes");
        SockRef::from(&server)
            .set_send_buffer_size(1)
            .expect("a size");
        (client.expect("it listens"), server)
    }

    #[tokio::test]
    async fn a_client_that_reads_too_slowly_is_cut() {
        let (mut client, server) = narrow().await;
        let slot = Arc::new(Semaphore::new(1));
        let slot = slot.try_acquire_owned().expect("a slot");
        let window = Duration::from_secs(1);
        let limits = SocketLimits {
            // It always reads something.
            write_timeout: 60 * window,
            write_rate: MinRate::new(1 << 30, window),
            linger: window,
        };
        let mut socket = ClientSocket::new(server, ConnectionPermit::new(slot, None), limits);
        let reads = async {
            let (mut pace, mut some) = (interval(Duration::from_millis(5)), [0; 1024]);
            loop {
                pace.tick().await;
                client.read_exact(&mut some).await.expect("more");
            }
        };
        socket.request_seen().set();
        let bytes = vec![b'x'; 64 << 20];
        let cut = tokio::select! {
            written = socket.write_all(&bytes) => written.expect_err("it is too slow"),
            () = reads => unreachable!("it reads for ever"),
        };
        let text = "fewer than 1073741824 bytes per second, on average over 1s";
        assert_eq!(cut.to_string(), text);
    }
}
