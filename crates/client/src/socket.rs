//! One WebSocket to the server: opening it, and writing frames from a queue.

use std::error::Error;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{StatusCode, header};
use lakechat_core::domain::ChannelName;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::proxy::Proxy;
use crate::wire::{ErrorBody, Refusal};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
pub(super) type Reader = SplitStream<Socket>;
pub(super) type Writer = SplitSink<Socket, Message>;

/// Why the WebSocket could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("the server refused the token")]
    Unauthorized,
    #[error("the server refused the upgrade with HTTP {status}{}", said(.refusal))]
    Refused {
        status: StatusCode,
        retry_after: Option<Duration>,
        /// If it is lakechat's, and came in the same segments as the head.
        refusal: Option<Refusal>,
    },
    #[error("the server redirects to {0}; use that address instead")]
    Redirected(String),
    #[error("can't connect through the proxy: {0}")]
    Proxy(Box<dyn Error + Send + Sync>),
    #[error("{0}")]
    Failed(#[source] Box<WsError>),
    #[error("could not connect within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Opens `/chat` of the server at `base`, with the token in the Authorization header. `channel` is a hint
/// for load balancers.
pub(super) async fn open(
    base: &Url,
    channel: Option<&ChannelName>,
    proxy: Option<&Proxy>,
    token: &str,
    limit: Duration,
) -> Result<(Writer, Reader), OpenError> {
    let failed = |e| OpenError::Failed(Box::new(e));
    let mut request = chat_url(base, channel)
        .into_client_request()
        .map_err(failed)?;
    let bearer = format!("Bearer {token}")
        .parse()
        .map_err(|_| OpenError::Unauthorized)?;
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(16 << 10);
    let opening = async {
        let stream = connect(base, proxy).await?;
        let opened = client_async_tls_with_config(request, stream, Some(config), None).await;
        let (socket, _) = opened.map_err(|error| match error {
            WsError::Http(response) => refused(&response),
            error => failed(error),
        })?;
        Ok(socket.split())
    };
    timeout(limit, opening)
        .await
        .unwrap_or(Err(OpenError::TimedOut(limit)))
}

async fn connect(base: &Url, proxy: Option<&Proxy>) -> Result<TcpStream, OpenError> {
    let host = base.host_str().unwrap_or_default();
    let port = base.port_or_known_default().unwrap_or_default();
    let failed = |error| OpenError::Failed(Box::new(WsError::Io(error)));
    let stream = match proxy {
        Some(proxy) => proxy.tunnel(host, port).await.map_err(OpenError::Proxy)?,
        None => TcpStream::connect((host.trim_matches(['[', ']']), port))
            .await
            .map_err(failed)?,
    };
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

fn refused(response: &http::Response<Option<Vec<u8>>>) -> OpenError {
    if response.status() == StatusCode::UNAUTHORIZED {
        return OpenError::Unauthorized;
    }
    if let Some(location) = response.headers().get(header::LOCATION)
        && response.status().is_redirection()
    {
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        return OpenError::Redirected(location);
    }
    let seconds = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.parse().ok());
    OpenError::Refused {
        status: response.status(),
        retry_after: seconds.map(Duration::from_secs),
        refusal: response.body().as_deref().and_then(refusal_in),
    }
}

fn refusal_in(body: &[u8]) -> Option<Refusal> {
    Some(serde_json::from_slice::<ErrorBody>(body).ok()?.error)
}

fn said(refusal: &Option<Refusal>) -> String {
    let text = refusal.as_ref().map(|refusal| format!(": {refusal}"));
    text.unwrap_or_default()
}

fn chat_url(base: &Url, channel: Option<&ChannelName>) -> String {
    let base = base.as_str().trim_end_matches('/');
    let address = base.strip_prefix("http").unwrap_or(base);
    // The characters of a channel's name stand for themselves in a query.
    let query = channel.map(|channel| format!("?channel={}", channel.as_str()));
    format!("ws{address}/chat{}", query.unwrap_or_default())
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
            assert_eq!(chat_url(&base.parse().expect("a URL"), None), chat);
        }
    }

    #[test]
    fn channel_is_a_hint_in_the_query() {
        let base = "http://127.0.0.1:8080".parse().expect("a URL");
        let channel = ChannelName::parse("ops").expect("a channel's name");
        let url = chat_url(&base, Some(&channel));
        assert_eq!(url, "ws://127.0.0.1:8080/chat?channel=ops");
    }

    #[test]
    fn channels_stand_for_themselves_in_a_query() {
        for name in ["a-b_c.1", "dm:ann:bob"] {
            let mut url: Url = "http://localhost/".parse().expect("a URL");
            url.set_query(Some(&format!("channel={name}")));
            let pairs: Vec<_> = url.query_pairs().collect();
            assert_eq!(pairs[0].1, name);
        }
    }
}
