//! A client's end of a session that has no socket.

use std::net::Ipv4Addr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use integration_tests::within;
use lakechat_core::chat::session::{self, Arrival, TokenSource};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::server::Server;

pub struct Client {
    stream: WebSocketStream<DuplexStream>,
}

impl Client {
    /// `buffer`: the bytes that fit between the two ends.
    pub async fn connect(server: &Server, token: &str, buffer: usize) -> Client {
        let (here, there) = tokio::io::duplex(buffer);
        let (chat, accounts) = (server.chat.clone(), server.accounts.clone());
        let arrival = Arrival {
            token: TokenSource::Upgrade(token.to_owned()),
            address: Ipv4Addr::LOCALHOST.into(),
        };
        tokio::spawn(async move {
            let socket = session::websocket(there, Bytes::new(), 65_536).await;
            session::run(chat, accounts, socket, arrival).await;
        });
        Client {
            stream: WebSocketStream::from_raw_socket(here, Role::Client, None).await,
        }
    }

    /// False if the session has ended.
    pub async fn send(&mut self, frame: Value) -> bool {
        let text = frame.to_string();
        let sent = within(self.stream.send(Message::text(text))).await;
        sent.is_ok()
    }

    pub async fn join(&mut self, channel: &str, after: Option<String>) -> bool {
        let mut frame = json!({"type": "join", "ref": 1, "channel": channel});
        if let Some(after) = after {
            frame["after"] = after.into();
        }
        self.send(frame).await
    }

    pub async fn leave(&mut self, channel: &str) -> bool {
        self.send(json!({"type": "leave", "ref": 2, "channel": channel}))
            .await
    }

    /// The first frame of the session.
    pub async fn welcome(&mut self) -> Value {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("frames are JSON");
                }
                Some(Ok(_)) => {}
                ended => panic!("no welcome: {ended:?}"),
            }
        }
    }

    /// The next frame but for welcome; none if the session has ended. Being dropped loses nothing.
    pub async fn next(&mut self) -> Option<Value> {
        let text = self.text().await?;
        Some(serde_json::from_str(&text).expect("frames are JSON"))
    }

    /// The same as it came.
    pub async fn text(&mut self) -> Option<String> {
        loop {
            let Some(Ok(message)) = self.stream.next().await else {
                return None;
            };
            let Message::Text(text) = message else {
                continue;
            };
            if !text.starts_with(r#"{"type":"welcome""#) {
                return Some(text.as_str().to_owned());
            }
        }
    }
}
