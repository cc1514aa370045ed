//! A TCP proxy before a server that does one thing wrong with one message.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wrong {
    /// It is left out.
    Lose,
    /// It is delivered twice.
    Double,
    /// It comes after the one that follows it on its connection.
    Swap,
    /// A letter of its text is another one.
    Alter,
}

/// Ends when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    chosen: watch::Receiver<Option<Value>>,
    accepting: JoinHandle<()>,
}

#[derive(Clone)]
struct Spoiler {
    wrong: Wrong,
    /// Messages until the one to be spoiled, on all connections.
    left: Arc<AtomicUsize>,
    chosen: watch::Sender<Option<Value>>,
}

impl FaultProxy {
    /// Spoils the `nth` message that passes.
    pub async fn start(server: SocketAddr, wrong: Wrong, nth: usize) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (tell, chosen) = watch::channel(None);
        let spoiler = Spoiler {
            wrong,
            left: Arc::new(AtomicUsize::new(nth)),
            chosen: tell,
        };
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let spoiler = spoiler.clone();
                tokio::spawn(async move {
                    // Either side may go away at any time.
                    let _ = spoiler.pass(client, server).await;
                });
            }
        });
        FaultProxy {
            address,
            chosen,
            accepting,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The frame that was spoiled.
    pub fn spoiled(&self) -> Value {
        let chosen = self.chosen.borrow();
        chosen.clone().expect("so many messages passed")
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Spoiler {
    async fn pass(self, client: TcpStream, server: SocketAddr) -> io::Result<()> {
        let (mut from_client, to_client) = client.into_split();
        let (from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
        let upwards = async { copy(&mut from_client, &mut to_server).await.map(|_| ()) };
        // The end of either direction ends the connection.
        tokio::select! {
            ended = upwards => ended,
            ended = self.pass_down(from_server, to_client) => ended,
        }
    }

    async fn pass_down(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(from.read_u8().await?);
        }
        to.write_all(&head).await?;
        if !head.starts_with(b"HTTP/1.1 101") {
            copy(&mut from, &mut to).await?;
            return Ok(());
        }
        loop {
            let frame = Frame::read(&mut from).await?;
            let Some(message) = frame.message().filter(|_| self.is_next()) else {
                to.write_all(&frame.bytes).await?;
                continue;
            };
            self.chosen.send_replace(Some(message));
            match self.wrong {
                Wrong::Lose => {}
                Wrong::Double => {
                    to.write_all(&[&*frame.bytes, &frame.bytes].concat())
                        .await?
                }
                Wrong::Alter => to.write_all(&frame.altered()).await?,
                Wrong::Swap => {
                    let mut next = Frame::read(&mut from).await?;
                    while next.message().is_none() {
                        to.write_all(&next.bytes).await?;
                        next = Frame::read(&mut from).await?;
                    }
                    to.write_all(&[next.bytes, frame.bytes].concat()).await?;
                }
            }
        }
    }

    fn is_next(&self) -> bool {
        self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// A frame from a server, which is not masked.
struct Frame {
    bytes: Vec<u8>,
    head_bytes: usize,
}

impl Frame {
    async fn read(from: &mut OwnedReadHalf) -> io::Result<Frame> {
        let mut bytes = vec![0; 2];
        from.read_exact(&mut bytes).await?;
        let more = match bytes[1] {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        bytes.resize(2 + more, 0);
        from.read_exact(&mut bytes[2..]).await?;
        let size = match more {
            0 => usize::from(bytes[1]),
            _ => bytes[2..]
                .iter()
                .fold(0, |size, b| size << 8 | usize::from(*b)),
        };
        let head_bytes = bytes.len();
        bytes.resize(head_bytes + size, 0);
        from.read_exact(&mut bytes[head_bytes..]).await?;
        Ok(Frame { bytes, head_bytes })
    }

    /// The JSON of a frame of type `message`.
    fn message(&self) -> Option<Value> {
        let json: Value = serde_json::from_slice(&self.bytes[self.head_bytes..]).ok()?;
        (json["type"] == "message").then_some(json)
    }

    /// The same frame with another letter at the end of its text.
    fn altered(&self) -> Vec<u8> {
        let text = self
            .message()
            .and_then(|m| m["text"].as_str().map(str::to_owned));
        let text = text.expect("a message with a text");
        let bytes = self.bytes.windows(text.len());
        let mut at = bytes.enumerate().filter(|(_, w)| *w == text.as_bytes());
        let (at, _) = at.next().expect("no character of it is escaped");
        let last = at + text.len() - 1;
        let mut bytes = self.bytes.clone();
        bytes[last] = if bytes[last] == b'z' { b'y' } else { b'z' };
        bytes
    }
}
