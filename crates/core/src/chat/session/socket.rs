//! A session's WebSocket: feeds many frames, then flushes once, and closes it in the end.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::chat::hub::outbox::Outbox;
use crate::chat::wire::close::Close;
use crate::chat::wire::{self, Frame};

use super::stall::{Metered, Stall};

/// The bytes of frames that are fed between two flushes.
const ROUND_BYTES: usize = 16 * 1024;

/// The most rounds in a row before the session polls its other work.
const ROUNDS: usize = 8;

/// How long sending the close frame and waiting for the client's close may take.
const CLOSING: Duration = Duration::from_secs(5);

/// A client that receives less than [`SLOW_BYTES`] in this time, while more waits for it, is slow.
const SLOW: Duration = Duration::from_secs(15);
const SLOW_BYTES: u64 = 8 * 1024;

/// Why a session ended.
#[derive(Debug)]
pub enum Ended {
    /// The server closes the session.
    Close(Close),
    /// The client violated the WebSocket protocol: the close code of RFC 6455 and a reason.
    Violation(CloseCode, &'static str),
    /// The client closed the session, or the connection is lost.
    Gone,
}

/// The result of a read.
pub enum SocketEvent {
    Message(Message),
    Ended(Ended),
}

/// A WebSocket for a session on an upgraded connection. `read`: its bytes that were read already. `frame_bytes`:
/// the largest message.
pub async fn websocket<S>(stream: S, read: Bytes, frame_bytes: usize) -> Socket<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        // Each connection allocates this up front, even if it stays idle.
        .read_buffer_size(4096)
        // Larger than a round, so that a round is one write.
        .write_buffer_size(2 * ROUND_BYTES)
        // Room for a round, the largest frame and control frames, so that feeding doesn't fail for
        // lack of room.
        .max_write_buffer_size(4 * ROUND_BYTES + 16 * 1024 * 1024)
        .max_message_size(Some(frame_bytes))
        .max_frame_size(Some(frame_bytes));
    let (stream, read) = (Metered::new(stream), read.to_vec());
    let stream = WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config));
    Socket {
        stream: stream.await,
        dirty: false,
        since: None,
        stall: Stall::new(SLOW, SLOW_BYTES),
    }
}

/// The WebSocket of a session.
pub struct Socket<S> {
    stream: WebSocketStream<Metered<S>>,
    /// A message was fed and is not flushed yet.
    dirty: bool,
    /// When the first fed frame was queued in the outbox, if it is sampled.
    since: Option<Instant>,
    stall: Stall,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Whether what was fed waits for the client.
    pub fn is_blocked(&self) -> bool {
        self.dirty
    }

    pub fn ping(&mut self) {
        // An error means that the connection is lost, which the next read reports.
        self.feed(Message::Ping(Bytes::new())).unwrap_or_default();
    }

    fn feed(&mut self, message: Message) -> Result<(), Error> {
        self.dirty = true;
        Pin::new(&mut self.stream).start_send(message)
    }

    fn flushed(&mut self) {
        self.dirty = false;
        self.stall.end();
        if let Some(since) = self.since.take() {
            let waited = since.elapsed().as_secs_f64();
            metrics::histogram!("lakechat_log_to_socket_seconds").record(waited);
        }
    }

    /// Writes the frames of the outbox. Ready only when the session has to end.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Ended> {
        let mut round = Vec::new();
        for _ in 0..ROUNDS {
            if self.dirty {
                // The flush comes before the next frames, so a slow client keeps them in the
                // bounded outbox.
                match Pin::new(&mut self.stream).poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.flushed(),
                    Poll::Ready(Err(_)) => return Poll::Ready(Ended::Gone),
                    Poll::Pending => {
                        let written = self.stream.get_ref().written();
                        if self.stall.poll(cx, written).is_ready() {
                            outbox.close_as_slow();
                        }
                        return outbox.poll_closed(cx).map(Ended::Close);
                    }
                }
            }
            match outbox.poll_take(cx, ROUND_BYTES, &mut round) {
                Poll::Ready(Ok(since)) => self.since = self.since.or(since),
                Poll::Ready(Err(why)) => return Poll::Ready(Ended::Close(why)),
                Poll::Pending => return Poll::Pending,
            }
            for frame in round.drain(..) {
                if self.feed(Message::Text(frame.into_text())).is_err() {
                    return Poll::Ready(Ended::Gone);
                }
            }
        }
        // The outbox may have more, but work, timers and reads get their turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        Pin::new(&mut self.stream)
            .poll_next(cx)
            .map(|next| match next {
                // The library queues its reply to a close and sends it on further reads, until the
                // stream ends.
                Some(Ok(Message::Close(_))) => SocketEvent::Message(Message::Pong(Bytes::new())),
                Some(Ok(message)) => SocketEvent::Message(message),
                Some(Err(error)) => SocketEvent::Ended(violation(&error)),
                None => SocketEvent::Ended(Ended::Gone),
            })
    }

    /// Sends the close frame, then reads until the client closes the connection or the deadline has
    /// passed.
    pub async fn end(&mut self, ended: &Ended) {
        let closed = timeout(CLOSING, async {
            match ended {
                Ended::Close(why) => self.close(*why).await,
                Ended::Violation(code, reason) => self.reject(*code, reason).await,
                Ended::Gone => {}
            }
        });
        // After the deadline the connection is cut.
        closed.await.unwrap_or_default();
    }

    async fn close(&mut self, why: Close) {
        let closing = (why != Close::SlowConsumer).then(|| wire::closing(why));
        let code = CloseCode::from(why.code());
        if self.send_close(closing, code, why.reason()).await.is_ok() {
            while let Some(Ok(_)) = self.stream.next().await {}
        }
    }

    async fn reject(&mut self, code: CloseCode, reason: &'static str) {
        if self.send_close(None, code, reason).await.is_err() {
            return;
        }
        // After a violation the input can't be parsed into frames. Its bytes are read all the same:
        // closing a socket with unread bytes resets it, and the client may lose the close frame.
        let mut rest = [0; 4096];
        while matches!(self.stream.get_mut().read(&mut rest).await, Ok(1..)) {}
    }

    async fn send_close(
        &mut self,
        closing: Option<Frame>,
        code: CloseCode,
        reason: &'static str,
    ) -> Result<(), Error> {
        if let Some(frame) = closing {
            let text = frame.into_text();
            self.stream.feed(Message::Text(text)).await?;
        }
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        self.stream.send(Message::Close(Some(frame))).await
    }
}

fn violation(error: &Error) -> Ended {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Ended::Violation(CloseCode::Size, "frame_bytes")
        }
        Error::Utf8(_) => Ended::Violation(CloseCode::Invalid, "not UTF-8"),
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => Ended::Gone,
        Error::Protocol(_) => Ended::Violation(CloseCode::Protocol, "not RFC 6455"),
        _ => Ended::Gone,
    }
}
