//! A client that says exactly what it is told to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);

pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        let read = Vec::new();
        Ok(Client { stream, read })
    }

    /// From an address of this machine.
    pub async fn connect_from(from: &str, address: SocketAddr) -> io::Result<Client> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from.parse().expect("an address"), 0))?;
        let (stream, read) = (socket.connect(address).await?, Vec::new());
        Ok(Client { stream, read })
    }

    /// A client that leaves is no failure of the test's.
    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = timeout(DEADLINE, self.stream.write_all(bytes)).await;
        sent.expect("the server takes what is sent")
    }

    pub async fn send(&mut self, text: &str) {
        self.try_send(text.as_bytes()).await.expect("connected");
    }

    pub async fn finish_sending(&mut self) {
        self.stream.shutdown().await.expect("connected");
    }

    pub async fn ask(&mut self, request: &str) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    pub async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    /// The next answer; one to HEAD has no body, whatever its length.
    pub async fn answer_to(&mut self, method: &str) -> Answer {
        let end = loop {
            match self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => assert!(self.fill().await, "closed within an answer"),
            }
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).expect("text");
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        let length = answer
            .header("content-length")
            .map(|l| l.parse().expect("a length"));
        let length = length.filter(|_| method != "HEAD").unwrap_or(0);
        while self.read.len() < length {
            assert!(self.fill().await, "closed within a body");
        }
        let body = self.read.drain(..length).collect();
        answer.body = String::from_utf8(body).expect("text");
        answer
    }

    pub async fn first_byte(&mut self) {
        assert!(self.first_byte_or_end().await, "closed before the answer");
    }

    /// Waits until something has come; false where the server closed before. Dropping is safe.
    pub async fn first_byte_or_end(&mut self) -> bool {
        !self.read.is_empty() || self.fill().await
    }

    /// All that comes until the server closes.
    pub async fn rest(&mut self) -> String {
        while self.fill().await {}
        String::from_utf8(std::mem::take(&mut self.read)).expect("text")
    }

    /// The server closes, and says nothing more.
    pub async fn is_closed(&mut self) {
        assert_eq!(self.rest().await, "");
    }

    async fn fill(&mut self) -> bool {
        let read = timeout(DEADLINE, self.stream.read_buf(&mut self.read)).await;
        let read = read.expect("the server answers or closes");
        read.expect("the connection is not reset") > 0
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    #[track_caller]
    pub fn is(&self, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (200, body));
    }

    #[track_caller]
    pub fn is_refused(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}{}", self.head, self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body: serde_json::Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(body["error"]["code"], code);
    }

    #[track_caller]
    pub fn closes(&self) {
        assert_eq!(self.header("connection"), Some("close"), "{}", self.head);
    }
}
