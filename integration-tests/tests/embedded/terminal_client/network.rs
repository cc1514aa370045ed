//! The way to the server: proxies, redirects, and connections that others can read.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use integration_tests::terminal::{Terminal, pipe};
use integration_tests::{Person, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::texts;
use crate::MODE;

/// No name server knows it.
const URL: &str = "http://lakechat.invalid:8080";

/// The first lines of the requests that a server got.
type Requests = Arc<Mutex<Vec<String>>>;

async fn head_of(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// Accepts connections and hands each to `serve` with the head of its first request.
async fn listen<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream, Vec<u8>) -> F + Send + 'static,
) -> (SocketAddr, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let requests = Requests::default();
    let seen = requests.clone();
    // Ends with the test's runtime.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Some(head) = head_of(&mut stream).await {
                let line = String::from_utf8_lossy(&head);
                let line = line.lines().next().unwrap_or_default().to_owned();
                seen.lock().expect("no panic while held").push(line);
                tokio::spawn(serve(stream, head));
            }
        }
    });
    (address, requests)
}

/// A proxy that knows one server, whatever name it is asked for.
async fn proxy_for(server: SocketAddr) -> (SocketAddr, Requests) {
    listen(move |mut stream, head| async move {
        let mut upstream = TcpStream::connect(server).await.expect("it listens");
        let done = if head.starts_with(b"CONNECT ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await
        } else {
            upstream.write_all(&head).await
        };
        // Either side may go first.
        if done.is_ok() {
            let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        }
    })
    .await
}

#[tokio::test]
async fn proxy_of_the_environment_serves_calls_and_the_chat_alike() {
    // The host of `URL`, by which the proxy passes the requests on.
    let host = ("LAKECHAT_SERVER__ALLOWED_HOSTS", "lakechat.invalid");
    let server = Server::with(MODE, &[host]).await;
    let (address, requests) = proxy_for(server.address()).await;
    let ann = Terminal::at(URL, "ann");
    let proxy = format!("http://{address}");
    let mut command = ann.command(&["--register", "--insecure"]);
    command.env("HTTP_PROXY", &proxy);
    pipe(command, "through a proxy\n").await.succeeded();
    let bob = Person::register(&server, "bob").await;
    assert_eq!(texts(&server, &bob, "general").await, ["through a proxy"]);
    let requests = requests.lock().expect("no panic while held").clone();
    for begin in [
        "POST http://lakechat.invalid:8080/register ",
        "CONNECT lakechat.invalid:8080 ",
    ] {
        let found = requests.iter().any(|request| request.starts_with(begin));
        assert!(found, "{begin}: {requests:?}");
    }

    let mut command = ann.command(&["--insecure"]);
    command
        .env("HTTP_PROXY", &proxy)
        .env("NO_PROXY", "lakechat.invalid");
    pipe(command, "past the proxy\n").await.failed();
    // A server on this machine is never asked for through a proxy.
    let bob = Terminal::new(&server, "bob");
    let mut command = bob.command(&[]);
    command.env("HTTP_PROXY", "http://127.0.0.1:1");
    pipe(command, "directly\n").await.succeeded();
}

#[tokio::test]
async fn password_is_not_sent_where_others_can_read_it() {
    let (address, requests) = listen(|_, _| async {}).await;
    let ann = Terminal::at(URL, "ann");
    let mut command = ann.command(&[]);
    command.env("HTTP_PROXY", format!("http://{address}"));
    let (_, stderr) = pipe(command, "hi\n").await.failed();
    assert!(stderr.contains("--insecure"), "{stderr}");
    assert!(requests.lock().expect("no panic while held").is_empty());
}

#[tokio::test]
async fn redirect_is_named_and_not_followed() {
    let (address, requests) = listen(|mut stream, _| async move {
        let answer = "HTTP/1.1 301 Moved\r\nlocation: https://chat.example/\r\n\
                      content-length: 0\r\n\r\n";
        // The client may have gone.
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let ann = Terminal::at(&format!("http://{address}"), "ann");
    let (_, stderr) = ann.pipes(&[], "hi\n").await.failed();
    assert!(
        stderr.contains("redirects to https://chat.example/"),
        "{stderr}"
    );
    let requests = requests.lock().expect("no panic while held").clone();
    assert_eq!(requests, ["POST /login HTTP/1.1"]);
}
