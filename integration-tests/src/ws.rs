//! A WebSocket without manners: it sends what it is told, and reads only when it is asked.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::{narrow, within};

pub struct Ws {
    socket: WebSocketStream<TcpStream>,
    next_ref: u64,
    /// The first frame, if it was awaited.
    pub welcome: Value,
}

/// How a WebSocket ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// None: cut without a close frame.
    pub code: Option<u16>,
    /// The `closing` frame before it.
    pub closing: Option<Value>,
}

/// What comes out of a WebSocket.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    Frame(Value),
    Closed(Option<u16>),
}

impl Ws {
    /// With a token in the header; the welcome is read.
    pub async fn connect(address: SocketAddr, token: &str) -> Ws {
        let tcp = TcpStream::connect(address).await.expect("it listens");
        Ws::connect_over(tcp, "/chat", token).await
    }

    /// The same with a query, such as `channel=general`, which a proxy may balance by.
    pub async fn connect_with(address: SocketAddr, query: &str, token: &str) -> Ws {
        let tcp = TcpStream::connect(address).await.expect("it listens");
        Ws::connect_over(tcp, &format!("/chat?{query}"), token).await
    }

    /// With a receive buffer so small that what isn't read soon waits in the server.
    pub async fn connect_narrow(address: SocketAddr, token: &str) -> Ws {
        let tcp = narrow::connect(address).await;
        Ws::connect_over(tcp, "/chat", token).await
    }

    async fn connect_over(tcp: TcpStream, target: &str, token: &str) -> Ws {
        let bearer = format!("Bearer {token}");
        let opened = Ws::open(tcp, target, &[("authorization", &bearer)]).await;
        let (mut ws, _) = opened.expect("an upgrade");
        ws.welcome = ws.of_type("welcome").await;
        ws
    }

    /// Without a token.
    pub async fn bare(address: SocketAddr) -> Ws {
        Ws::try_open(address, &[]).await.expect("an upgrade").0
    }

    /// With some headers; an error is an answer other than the upgrade.
    pub async fn try_open(
        address: SocketAddr,
        headers: &[(&str, &str)],
    ) -> Result<(Ws, Response), Box<Error>> {
        let tcp = TcpStream::connect(address).await.expect("it listens");
        Ws::open(tcp, "/chat", headers).await
    }

    async fn open(
        tcp: TcpStream,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Ws, Response), Box<Error>> {
        tcp.set_nodelay(true).expect("a TCP socket");
        let address = tcp.peer_addr().expect("connected");
        let request = format!("ws://{address}{target}").into_client_request();
        let mut request = request.expect("a request");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header's name");
            let value: HeaderValue = value.parse().expect("a header's value");
            request.headers_mut().append(name, value);
        }
        let (socket, answer) = within(client_async(request, tcp)).await?;
        let ws = Ws {
            socket,
            next_ref: 1,
            welcome: Value::Null,
        };
        Ok((ws, answer))
    }

    pub async fn send(&mut self, frame: Value) {
        self.raw(Message::text(frame.to_string())).await;
    }

    pub async fn raw(&mut self, message: Message) {
        self.socket.send(message).await.expect("it reads");
    }

    /// Sends what can be sent; a server that has closed is no failure.
    pub async fn try_raw(&mut self, message: Message) -> Result<(), Box<Error>> {
        Ok(self.socket.send(message).await?)
    }

    /// Queues a frame without writing it yet.
    pub async fn feed(&mut self, frame: Value) {
        let message = Message::text(frame.to_string());
        self.socket.feed(message).await.expect("it reads");
    }

    pub async fn flush(&mut self) {
        self.socket.flush().await.expect("it reads");
    }

    /// The next frame, or the end. Pings are answered on the way.
    pub async fn got(&mut self) -> Got {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text);
                    return Got::Frame(frame.unwrap_or_else(|_| panic!("JSON: {text}")));
                }
                Some(Ok(Message::Close(frame))) => {
                    return Got::Closed(frame.map(|f| f.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Got::Closed(None),
            }
        }
    }

    /// The next text as it is.
    pub async fn text(&mut self) -> Option<String> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub async fn next(&mut self) -> Value {
        match self.got().await {
            Got::Frame(frame) => frame,
            Got::Closed(code) => panic!("closed with {code:?} while a frame was awaited"),
        }
    }

    /// The next frame that is wanted; what comes before it is dropped.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.next().await;
            if wanted(&frame) {
                return frame;
            }
        }
    }

    pub async fn of_type(&mut self, kind: &str) -> Value {
        self.until(|frame| frame["type"] == kind).await
    }

    /// Sends a frame under a fresh `ref` and waits for what answers it.
    pub async fn ask(&mut self, mut frame: Value) -> Value {
        let reference = self.next_ref;
        self.next_ref += 1;
        frame["ref"] = reference.into();
        self.send(frame).await;
        self.until(|answer| answer["ref"] == reference).await
    }

    /// The code with which a frame is refused.
    pub async fn refused(&mut self, frame: Value) -> String {
        let answer = self.ask(frame).await;
        assert_eq!(answer["type"], "error", "{answer}");
        let code = answer["error"]["code"].as_str();
        code.expect("a code").to_owned()
    }

    /// Joins a channel, after an id if one is given; the answer.
    pub async fn join(&mut self, channel: &str, after: Option<&str>) -> Value {
        let mut join = json!({"type": "join", "channel": channel});
        if let Some(after) = after {
            join["after"] = after.into();
        }
        let joined = self.ask(join).await;
        assert_eq!(joined["type"], "joined", "{joined}");
        joined
    }

    /// Sends a text and waits for its ack.
    pub async fn say(&mut self, channel: &str, client_msg_id: &str, text: &str) -> Value {
        let ack = self.ask(send_frame(channel, client_msg_id, text)).await;
        assert_eq!(ack["type"], "ack", "{ack}");
        ack
    }

    /// The next messages of all joined channels.
    pub async fn messages(&mut self, count: usize) -> Vec<Value> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            messages.push(self.of_type("message").await);
        }
        messages
    }

    /// What has come and was not read, so that nothing answers it.
    pub async fn unread(&self) -> String {
        let mut bytes = vec![0; 1 << 16];
        let came = within(self.socket.get_ref().peek(&mut bytes)).await;
        bytes.truncate(came.expect("a connection"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads to the end.
    pub async fn closed(&mut self) -> Closed {
        let mut closing = None;
        loop {
            match self.got().await {
                Got::Frame(frame) if frame["type"] == "closing" => closing = Some(frame),
                Got::Frame(_) => {}
                Got::Closed(code) => return Closed { code, closing },
            }
        }
    }

    pub async fn close(mut self) {
        // The server may be faster.
        let _ = self.socket.close(None).await;
        while let Some(Ok(_)) = within(self.socket.next()).await {}
    }
}

pub fn send_frame(channel: &str, client_msg_id: &str, text: &str) -> Value {
    json!({"type": "send", "channel": channel, "client_msg_id": client_msg_id, "text": text})
}
