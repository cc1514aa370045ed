//! One WebSocket to the server: opening it, and writing frames from a queue.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{StatusCode, header};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
pub(super) type Reader = SplitStream<Socket>;
pub(super) type Writer = SplitSink<Socket, Message>;

/// Why the WebSocket could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("the server refused the token")]
    Unauthorized,
    #[error("the server refused the upgrade with HTTP {status}")]
    Refused {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    #[error("{0}")]
    Failed(#[source] Box<WsError>),
    #[error("could not connect within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Opens `/chat` of the server at `base`, with the token in the Authorization header.
pub(super) async fn open(
    base: &Url,
    token: &str,
    limit: Duration,
) -> Result<(Writer, Reader), OpenError> {
    let failed = |e| OpenError::Failed(Box::new(e));
    let mut request = chat_url(base).into_client_request().map_err(failed)?;
    let bearer = format!("Bearer {token}")
        .parse()
        .map_err(|_| OpenError::Unauthorized)?;
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(16 << 10);
    let nodelay = true;
    let opening = connect_async_tls_with_config(request, Some(config), nodelay, None);
    match timeout(limit, opening).await {
        Ok(Ok((socket, _))) => Ok(socket.split()),
        Ok(Err(WsError::Http(response))) => Err(refused(&response)),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(OpenError::TimedOut(limit)),
    }
}

fn refused(response: &http::Response<Option<Vec<u8>>>) -> OpenError {
    if response.status() == StatusCode::UNAUTHORIZED {
        return OpenError::Unauthorized;
    }
    let seconds = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.parse().ok());
    OpenError::Refused {
        status: response.status(),
        retry_after: seconds.map(Duration::from_secs),
    }
}

fn chat_url(base: &Url) -> String {
    let base = base.as_str().trim_end_matches('/');
    let address = base.strip_prefix("http").unwrap_or(base);
    format!("ws{address}/chat")
}

/// Writes the queued frames and flushes once for all that are waiting. Closes the WebSocket when
/// the sender of the queue is dropped.
pub(super) async fn write(
    mut sink: Writer,
    mut queue: mpsc::Receiver<String>,
) -> Result<(), WsError> {
    while let Some(frame) = queue.recv().await {
        sink.feed(Message::text(frame)).await?;
        while let Ok(frame) = queue.try_recv() {
            sink.feed(Message::text(frame)).await?;
        }
        sink.flush().await?;
    }
    sink.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_lies_beside_the_other_routes() {
        for (base, chat) in [
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/chat"),
            ("https://chat.example/team/", "wss://chat.example/team/chat"),
        ] {
            assert_eq!(chat_url(&base.parse().expect("a URL")), chat);
        }
    }
}
