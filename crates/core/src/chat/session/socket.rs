//! A session's WebSocket: many frames fed, one flush; and its end.

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
use crate::chat::wire;
use crate::chat::wire::close::Close;

/// Bytes of frames between two flushes.
const ROUND_BYTES: usize = 16 * 1024;

/// Rounds before the session looks at what else there is to do.
const ROUNDS: usize = 8;

/// How long a closing session may take to send what it has and to read until the client ends it.
const CLOSING: Duration = Duration::from_secs(5);

/// How a session ended.
#[derive(Debug)]
pub enum Ended {
    /// The server closes it.
    Close(Close),
    /// The client's bytes are no WebSocket: the close code that the RFC has for it.
    Violation(CloseCode, &'static str),
    /// The client closed it, or is gone.
    Gone,
}

/// What was read.
pub enum Read {
    Message(Message),
    Ended(Ended),
}

/// A WebSocket on an upgraded connection, with bytes of it that were read already.
pub async fn websocket<S>(stream: S, read: Bytes, frame_bytes: usize) -> WebSocketStream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        // Taken whole at once by each connection, idle or not.
        .read_buffer_size(4096)
        // Above a round, so that a round is one write.
        .write_buffer_size(2 * ROUND_BYTES)
        // A round, a frame as large as the largest, and control frames always fit.
        .max_write_buffer_size(4 * ROUND_BYTES + 16 * 1024 * 1024)
        .max_message_size(Some(frame_bytes))
        .max_frame_size(Some(frame_bytes));
    WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, Some(config)).await
}

pub struct Socket<S> {
    stream: WebSocketStream<S>,
    /// Something was fed that is not flushed.
    dirty: bool,
    /// Since when the first of what was fed had waited, where that is measured.
    since: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub fn new(stream: WebSocketStream<S>) -> Socket<S> {
        Socket {
            stream,
            dirty: false,
            since: None,
        }
    }

    pub fn ping(&mut self) {
        // Fails only when the connection is gone, which reading tells.
        self.feed(Message::Ping(Bytes::new())).unwrap_or_default();
    }

    fn feed(&mut self, message: Message) -> Result<(), Error> {
        self.dirty = true;
        Pin::new(&mut self.stream).start_send(message)
    }

    fn flushed(&mut self) {
        self.dirty = false;
        if let Some(since) = self.since.take() {
            let waited = since.elapsed().as_secs_f64();
            metrics::histogram!("lakechat_log_to_socket_seconds").record(waited);
        }
    }

    /// Writes what the outbox has; ready only when the session has to end.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Ended> {
        let mut round = Vec::new();
        for _ in 0..ROUNDS {
            if self.dirty {
                match Pin::new(&mut self.stream).poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.flushed(),
                    Poll::Ready(Err(_)) => return Poll::Ready(Ended::Gone),
                    Poll::Pending => return outbox.poll_closed(cx).map(Ended::Close),
                }
            }
            match outbox.poll_take(cx, ROUND_BYTES, &mut round) {
                Poll::Ready(Ok(since)) => self.since = self.since.or(since),
                Poll::Ready(Err(why)) => return Poll::Ready(Ended::Close(why)),
                Poll::Pending => return Poll::Pending,
            }
            for frame in round.drain(..) {
                if self.feed(Message::Text(frame)).is_err() {
                    return Poll::Ready(Ended::Gone);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        Pin::new(&mut self.stream)
            .poll_next(cx)
            .map(|next| match next {
                // The reply to a close is sent by reading on, until the stream ends.
                Some(Ok(Message::Close(_))) => Read::Message(Message::Pong(Bytes::new())),
                Some(Ok(message)) => Read::Message(message),
                Some(Err(error)) => Read::Ended(violation(&error)),
                None => Read::Ended(Ended::Gone),
            })
    }

    /// Says why, and reads until the client has ended it or a deadline has passed.
    pub async fn end(&mut self, ended: &Ended) {
        let closed = timeout(CLOSING, async {
            match ended {
                Ended::Close(why) => self.close(*why).await,
                Ended::Violation(code, reason) => self.reject(*code, reason).await,
                Ended::Gone => {}
            }
        });
        // Past the deadline the connection is cut.
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
        // What follows a violation is no frames: bytes, until the client hangs up.
        let mut rest = [0; 4096];
        while matches!(self.stream.get_mut().read(&mut rest).await, Ok(1..)) {}
    }

    async fn send_close(
        &mut self,
        closing: Option<Utf8Bytes>,
        code: CloseCode,
        reason: &'static str,
    ) -> Result<(), Error> {
        if let Some(frame) = closing {
            self.stream.feed(Message::Text(frame)).await?;
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
