//! Requests written by hand: what clients may do on the wire, and what proxies and attackers make of it.

use integration_tests::Server;

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
