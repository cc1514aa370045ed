//! HTTP as any client could speak it, with answers that tests look into.

use std::net::SocketAddr;

use reqwest::{Method, RequestBuilder, StatusCode, Url, header::HeaderMap};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::within;

/// A client of one server. It keeps no connection that a killed server would break.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    address: SocketAddr,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("JSON: {self:?}"))
    }

    /// The code of a refusal.
    pub fn code(&self) -> String {
        let json = self.json();
        let code = json["error"]["code"].as_str();
        code.unwrap_or_else(|| panic!("a refusal: {json}"))
            .to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// Itself, if it has this status.
    pub fn expect(self, status: u16) -> Answer {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{body}");
        self
    }
}

impl Http {
    pub fn new(address: SocketAddr) -> Http {
        // reqwest wants a TLS provider even where nothing is encrypted; the product's call has one.
        let url: Url = format!("http://{address}").parse().expect("a URL");
        lakechat_client::Api::new(url).expect("a client");
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build();
        Http {
            client: client.expect("a client"),
            address,
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        send(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        send(
            self.request(Method::POST, path)
                .bearer_auth(token)
                .json(&body),
        )
        .await
    }

    pub async fn call(&self, method: Method, path: &str, token: &str) -> Answer {
        send(self.request(method, path).bearer_auth(token)).await
    }

    /// Without a token.
    pub async fn open(&self, method: Method, path: &str, body: Value) -> Answer {
        send(self.request(method, path).json(&body)).await
    }

    /// Uploads bytes as they are.
    pub async fn upload(&self, token: &str, name: &str, bytes: impl Into<reqwest::Body>) -> Answer {
        let mut url: Url = format!("http://{}/upload", self.address)
            .parse()
            .expect("a URL");
        url.query_pairs_mut().append_pair("name", name);
        send(self.client.post(url).bearer_auth(token).body(bytes)).await
    }

    /// A figure of `/metrics` by its name and labels; None as long as there is none.
    pub async fn metric(&self, name: &str) -> Option<u64> {
        let metrics = self.get("/metrics", "").await.body;
        let metrics = String::from_utf8_lossy(&metrics);
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    /// Writes text to a fresh connection and reads what comes back until the server closes it.
    pub async fn raw(&self, text: &str) -> String {
        let mut tcp = TcpStream::connect(self.address).await.expect("it listens");
        tcp.write_all(text.as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        // A reset after the answer is an end, too.
        let _ = within(tcp.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Sends a request and reads the answer whole.
pub async fn send(request: RequestBuilder) -> Answer {
    let answer = within(request.send()).await.expect("an answer");
    Answer {
        status: answer.status(),
        headers: answer.headers().clone(),
        body: within(answer.bytes()).await.expect("a whole answer").into(),
    }
}
