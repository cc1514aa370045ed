//! Requests written by hand: what clients may do on the wire, and what proxies and attackers make of it.

use integration_tests::http::send;
use integration_tests::people::PASSWORD;
use integration_tests::{Person, Server, within};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::MODE;

/// The status of a request without a body.
async fn status(server: &Server, head: &str) -> u16 {
    let request = format!("{head}\r\nconnection: close\r\n\r\n");
    let answer = server.http().raw(&request).await;
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
    status.unwrap_or_else(|| panic!("an answer: {answer}"))
}

#[tokio::test]
async fn service_answers_only_for_its_own_host_names() {
    let names = [
        ("LAKECHAT_SERVER__PUBLIC_URL", "https://chat.example/lake"),
        ("LAKECHAT_SERVER__ALLOWED_HOSTS", "intranet,other.example"),
    ];
    let server = Server::with(MODE, &names).await;
    for (host, wanted) in [
        ("127.0.0.1:8080", 401),
        ("[2001:db8::1]", 401),
        ("localhost:1", 401),
        ("chat.example", 401),
        ("CHAT.EXAMPLE:443", 401),
        ("intranet:8080", 401),
        ("other.example.", 401),
        ("rebind.attacker.example", 421),
        ("chat.example.attacker.example", 421),
    ] {
        let me = format!("GET /me HTTP/1.1\r\nhost: {host}");
        assert_eq!(status(&server, &me).await, wanted, "{host}");
    }
    // The target's host counts, if it has one.
    let absolute = "GET http://attacker.example/me HTTP/1.1\r\nhost: chat.example";
    assert_eq!(status(&server, absolute).await, 421);
    let upgrade = "GET /chat HTTP/1.1\r\nhost: attacker.example\r\norigin: http://attacker.example\r\n\
                   upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    assert_eq!(status(&server, upgrade).await, 421);
    for probe in ["/healthz", "/readyz", "/metrics"] {
        let named = format!("GET {probe} HTTP/1.1\r\nhost: lakechat-0.lakechat");
        assert_eq!(status(&server, &named).await, 200, "{probe}");
    }
}

/// What answers an upload with these headers and this body: the status, and the code if it is refused.
async fn uploaded(
    server: &Server,
    ann: &Person,
    headers: &str,
    body: &str,
) -> (u16, Option<String>) {
    let request = format!(
        "POST /upload?name=a HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         {headers}connection: close\r\n\r\n{body}",
        ann.token()
    );
    let answer = server.http().raw(&request).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let code = body["error"]["code"].as_str().map(str::to_owned);
    (status.expect("a status"), code)
}

#[tokio::test]
async fn body_in_an_unknown_transfer_coding_is_refused_and_not_stored() {
    // So that even this file would be one on disk.
    let server = Server::with(MODE, &[("LAKECHAT_FILES__INLINE_BYTES", "0")]).await;
    let ann = Person::register(&server, "ann").await;
    for (codings, status, code) in [
        ("gzip, chunked", 501, "transfer_coding_unsupported"),
        ("deflate, chunked", 501, "transfer_coding_unsupported"),
        ("x-unknown, chunked", 501, "transfer_coding_unsupported"),
        ("chunked, chunked", 400, "bad_request"),
    ] {
        let headers = format!("transfer-encoding: {codings}\r\n");
        let answer = uploaded(&server, &ann, &headers, "5\r\nhello\r\n0\r\n\r\n").await;
        assert_eq!(answer, (status, Some(code.to_owned())), "{codings}");
    }
    assert!(server.stored_files().is_empty());
    let chunked = "transfer-encoding: Chunked\r\n";
    let answer = uploaded(&server, &ann, chunked, "5\r\nhello\r\n0\r\n\r\n").await;
    assert_eq!(answer, (201, None));
}

/// All but letters and digits percent-encoded, as some clients do.
fn encoded(text: &str) -> String {
    let encode = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_string(),
        false => format!("%{:02X}", u32::from(c)),
    };
    text.chars().map(encode).collect()
}

#[tokio::test]
async fn percent_encoded_paths_lead_to_the_same_things() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    ann.create_channel(&server, "team-a.b_1").await;
    let file = server
        .http()
        .upload(ann.token(), "a", "x")
        .await
        .expect(201);
    let id = file.json()["id"].as_str().expect("an id").to_owned();
    let channel = encoded("team-a.b_1");
    assert_eq!(channel, "team%2Da%2Eb%5F1");
    for (method, path, wanted) in [
        ("GET", format!("/channels/{channel}"), 200),
        ("GET", format!("/channels/{channel}/messages"), 200),
        ("PUT", format!("/channels/{channel}/members/%61nn"), 200),
        ("GET", "/ch%61nnels/gener%61l".to_owned(), 200),
        ("GET", "/users/%61nn".to_owned(), 200),
        ("GET", format!("/download/{}", encoded(&id)), 200),
        ("GET", format!("/download/{}", id.to_uppercase()), 200),
        // Decoded once, and after the path was split.
        ("GET", "/channels%2Fgeneral".to_owned(), 404),
        ("GET", "/channels/gener%2561l".to_owned(), 404),
        ("GET", "/channels/general%00".to_owned(), 404),
        ("GET", "/channels/%ff".to_owned(), 404),
    ] {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}",
            ann.token()
        );
        assert_eq!(status(&server, &head).await, wanted, "{method} {path}");
    }
}

#[tokio::test]
async fn client_that_closes_its_sending_side_after_a_request_is_answered() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let bytes = vec![b'x'; 4 << 20];
    let file = server
        .http()
        .upload(ann.token(), "big", bytes.clone())
        .await;
    let id = file.expect(201).json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let login = json!({"username": "ann", "password": PASSWORD}).to_string();
    let channel = json!({"name": "halves", "kind": "public"}).to_string();
    let (json, text) = ("application/json", "text/plain");
    for (method, path, kind, body, wanted) in [
        ("GET", "/me", text, "", 200),
        ("POST", "/login", json, &*login, 200),
        ("POST", "/channels", json, &*channel, 201),
        ("POST", "/upload", text, "hello", 201),
        ("GET", &*format!("/download/{id}"), text, "", 200),
    ] {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            ann.token(),
            body.len()
        );
        let mut tcp = TcpStream::connect(server.address())
            .await
            .expect("it listens");
        tcp.write_all(request.as_bytes()).await.expect("it reads");
        tcp.shutdown().await.expect("connected");
        let mut answer = Vec::new();
        within(tcp.read_to_end(&mut answer))
            .await
            .expect("an answer");
        let status = format!("HTTP/1.1 {wanted} ");
        assert!(answer.starts_with(status.as_bytes()), "{method} {path}");
        if path.starts_with("/download") {
            assert!(answer.ends_with(&bytes), "the whole file");
        }
    }
}

#[tokio::test]
async fn upload_without_a_length_is_refused_and_one_of_length_0_is_an_empty_file() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let refused = (411, Some("length_required".to_owned()));
    assert_eq!(uploaded(&server, &ann, "", "").await, refused);
    let empty = "content-length: 0\r\n";
    assert_eq!(uploaded(&server, &ann, empty, "").await, (201, None));
    let chunked = "transfer-encoding: chunked\r\n";
    assert_eq!(
        uploaded(&server, &ann, chunked, "0\r\n\r\n").await,
        (201, None)
    );
}

#[tokio::test]
async fn download_is_not_repeated_for_a_client_that_has_the_file() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let file = server
        .http()
        .upload(ann.token(), "a", "x")
        .await
        .expect(201)
        .json();
    let path = format!("/download/{}", file["id"].as_str().expect("an id"));
    let etag = format!("\"{}\"", file["sha256"].as_str().expect("a sum"));
    for (header, value, wanted) in [
        ("if-none-match", etag.clone(), 304),
        ("if-none-match", format!("\"x\", W/{etag}"), 304),
        ("if-none-match", "*".to_owned(), 304),
        ("if-none-match", "\"x\"".to_owned(), 200),
        ("if-match", "\"x\"".to_owned(), 412),
        ("if-match", etag.clone(), 200),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let request = server
                .http()
                .request(method, &path)
                .bearer_auth(ann.token());
            let answer = send(request.header(header, &value)).await.expect(wanted);
            if wanted == 304 {
                assert_eq!(
                    (answer.header("etag"), answer.body.len()),
                    (Some(&*etag), 0)
                );
            }
        }
    }
    // The right to read is asked first.
    let request = server
        .http()
        .request(Method::GET, &path)
        .bearer_auth(bob.token());
    send(request.header("if-none-match", &etag))
        .await
        .expect(403);
}
