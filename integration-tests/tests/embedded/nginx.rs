//! A server behind nginx, with the configuration in `docker/nginx`.

use integration_tests::nginx::{Balance, Nginx};
use integration_tests::terminal::{Terminal, pipe};
use integration_tests::{Http, Person, Server, eventually};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::MODE;

async fn service() -> (Server, Nginx) {
    let env = [("LAKECHAT_SERVER__TRUSTED_PROXIES", "127.0.0.1")];
    let server = Server::with(MODE, &env).await;
    let nginx = Nginx::start(Balance::Random, &[server.address()]).await;
    (server, nginx.expect("nginx"))
}

#[tokio::test]
async fn what_is_for_operators_is_closed() {
    let (_server, nginx) = service().await;
    let http = Http::new(nginx.plain());
    for path in [
        "/metrics",
        "/metrics/",
        "//metrics",
        "/%6detrics",
        "/x/../metrics",
        "/metrics?x=1",
        "/readyz",
        "/admin",
        "/admin/users",
    ] {
        let answer = http
            .raw(&format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(!answer.contains("lakechat_"), "{path}: {answer}");
    }
    let health = http.open(Method::GET, "/healthz", json!({})).await;
    health.expect(200);
}

#[tokio::test]
async fn uploads_reach_the_server_while_they_come() {
    let (server, nginx) = service().await;
    let ann = Person::register(&server, "ann").await;
    let mut tcp = TcpStream::connect(nginx.plain()).await.expect("it listens");
    let head = format!(
        "POST /upload?name=half HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/octet-stream\r\ncontent-length: 10000000\r\n\r\n",
        ann.token()
    );
    tcp.write_all(head.as_bytes()).await.expect("it reads");
    tcp.write_all(&[b'x'; 1 << 20]).await.expect("it reads");
    eventually("half a file is being written", async || {
        (!server.files_in("tmp").is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn address_of_a_client_is_what_nginx_sees_and_not_what_the_client_claims() {
    let (server, nginx) = service().await;
    let claim = ["--interface", "127.0.0.2", "--header"];
    let claim = [&claim[..], &["X-Forwarded-For: 203.0.113.9"]].concat();
    nginx.curl(&claim, "/me").await.expect("an answer");
    let lines = eventually("the request is logged", async || {
        let log = server.log();
        let lines: Vec<_> = log.into_iter().filter(|l| l.contains("GET /me")).collect();
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    assert!(lines[0].contains("client=127.0.0.2"), "{lines:?}");
}

#[tokio::test]
async fn clients_speak_http_2_and_websockets_over_tls() {
    let (server, nginx) = service().await;
    let version = ["--http2", "--output", "/dev/null"];
    let version = [
        &version[..],
        &["--write-out", "%{http_code} %{http_version}"],
    ]
    .concat();
    let said = nginx.curl(&version, "/healthz").await;
    assert_eq!(said.expect("an answer"), "200 2");

    let ann = Terminal::at(&nginx.https_url(), "ann");
    let mut command = ann.command(&["--register"]);
    command.env("SSL_CERT_FILE", nginx.certificate());
    pipe(command, "hi all\n").await.succeeded();
    let bob = Person::register(&server, "bob").await;
    let said = bob.history(&server, "general").await;
    assert_eq!(said[0]["text"], "hi all");
}
