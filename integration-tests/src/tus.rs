//! Resumable uploads as any client of tus 1.0 could make them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Body, Method, RequestBuilder};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http::send;
use crate::{Answer, Person, Server};

/// A user's uploads at one server.
#[derive(Clone, Copy)]
pub struct Tus<'a> {
    server: &'a Server,
    person: &'a Person,
}

impl<'a> Tus<'a> {
    pub fn new(server: &'a Server, person: &'a Person) -> Tus<'a> {
        Tus { server, person }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.server.http().request(method, path);
        request
            .bearer_auth(self.person.token())
            .header("tus-resumable", "1.0.0")
    }

    /// Creates an upload; its path.
    pub async fn create(&self, name: &str, length: u64) -> String {
        let request = self.request(Method::POST, "/uploads");
        let created = send(
            request
                .header("upload-length", length)
                .header("upload-metadata", metadata(name)),
        );
        location(&created.await.expect(201))
    }

    pub async fn head(&self, path: &str) -> Answer {
        send(self.request(Method::HEAD, path)).await
    }

    pub async fn offset(&self, path: &str) -> u64 {
        offset(&self.head(path).await.expect(200))
    }

    /// A request that appends.
    pub fn patch(&self, path: &str, offset: u64, body: impl Into<Body>) -> RequestBuilder {
        self.request(Method::PATCH, path)
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset)
            .body(body)
    }

    pub async fn append(&self, path: &str, offset: u64, body: impl Into<Body>) -> Answer {
        send(self.patch(path, offset, body)).await
    }

    /// The beginning of a request that announces `length` bytes and sends the given ones. Dropping the
    /// connection cuts it.
    pub async fn begin(&self, path: &str, offset: u64, length: usize, bytes: &[u8]) -> TcpStream {
        let mut tcp = TcpStream::connect(self.server.address())
            .await
            .expect("it listens");
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             tus-resumable: 1.0.0\r\ncontent-type: application/offset+octet-stream\r\n\
             upload-offset: {offset}\r\ncontent-length: {length}\r\n\r\n",
            self.person.token()
        );
        tcp.write_all(head.as_bytes()).await.expect("it reads");
        tcp.write_all(bytes).await.expect("it reads");
        tcp
    }

    /// The file that an upload has become.
    pub async fn download(&self, path: &str) -> Answer {
        let path = path.replace("/uploads/", "/download/");
        self.server.http().get(&path, self.person.token()).await
    }
}

/// `Upload-Metadata` with a file's name.
pub fn metadata(name: &str) -> String {
    format!("filename {}", BASE64_STANDARD.encode(name))
}

pub fn location(created: &Answer) -> String {
    created.header("location").expect("a URL").to_owned()
}

pub fn offset(answer: &Answer) -> u64 {
    let offset = answer.header("upload-offset").expect("an offset");
    offset.parse().expect("a number")
}

/// Bytes that differ from place to place.
pub fn content(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
        .collect()
}
