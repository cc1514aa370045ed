//! Signed URLs of uploads.

use integration_tests::http::send;
use integration_tests::tus::content;
use integration_tests::{Answer, Person, Server, eventually};
use reqwest::{Body, Method};
use serde_json::{Value, json};

use crate::MODE;

async fn sign(server: &Server, by: &Person, body: Value) -> Answer {
    server.http().post("/uploads/sign", by.token(), body).await
}

/// A URL for so many bytes.
async fn signed(server: &Server, by: &Person, size: usize, seconds: u64) -> String {
    let body = json!({"name": "日.txt", "size": size, "type": "text/plain; charset=utf-8",
        "expires_in": seconds});
    let signed = sign(server, by, body).await.expect(201).json();
    assert_eq!(signed["method"], "PUT");
    signed["url"].as_str().expect("a URL").to_owned()
}

/// Without a token.
async fn put(server: &Server, url: &str, body: impl Into<Body>) -> Answer {
    send(server.http().request(Method::PUT, url).body(body)).await
}

#[tokio::test]
async fn url_takes_one_file_of_its_size_without_a_token() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let bytes = content(100_000);
    let url = signed(&server, &ann, bytes.len(), 600).await;
    for wrong in [1, 99_999, 100_001] {
        let refused = put(&server, &url, content(wrong)).await.expect(422);
        assert_eq!(refused.code(), "size_mismatch");
        let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(content(wrong))]);
        let refused = put(&server, &url, Body::wrap_stream(chunks))
            .await
            .expect(422);
        assert_eq!(refused.code(), "size_mismatch");
    }
    assert_eq!(server.stored_files().len(), 0);
    let file = put(&server, &url, bytes.clone()).await.expect(201).json();
    assert_eq!(
        (&file["name"], &file["size"]),
        (&json!("日.txt"), &json!(100_000))
    );
    assert_eq!(file["type"], "text/plain; charset=utf-8");
    let path = file["url"].as_str().expect("its path");
    assert_eq!(
        server.http().get(path, ann.token()).await.expect(200).body,
        bytes
    );
    let again = put(&server, &url, bytes).await.expect(409);
    assert_eq!(again.code(), "already_used");
}

#[tokio::test]
async fn url_that_was_changed_or_has_expired_is_refused() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let url = signed(&server, &ann, 5, 600).await;
    let (path, _) = url.split_once('?').expect("it has parameters");
    for changed in [
        url.replace("size=5", "size=6"),
        url.replace("expires=", "expires=9"),
        url.replace("user=ann", "user=bob"),
        url.replace("text%2Fplain", "text%2Fhtml"),
        url[..url.len() - 1].to_owned(),
        path.to_owned(),
        url.replace(path, "/uploads/00000000-0000-4000-8000-000000000000"),
    ] {
        let refused = put(&server, &changed, "hello").await.expect(403);
        assert_eq!(refused.code(), "signature_invalid", "{changed}");
    }
    let more = put(&server, &format!("{url}&more=1"), "hello").await;
    assert_eq!(more.expect(400).code(), "param_unknown");
    let short = signed(&server, &ann, 5, 1).await;
    let ended = eventually("it expires", async || {
        // Of a wrong size, so that the URL is not used.
        let answer = put(&server, &short, "x").await;
        (answer.status.as_u16() != 422).then_some(answer)
    })
    .await;
    assert_eq!(ended.expect(403).code(), "url_expired");
}

#[tokio::test]
async fn only_possible_files_are_signed() {
    let server = Server::with(MODE, &[("LAKECHAT_FILES__MAX_BYTES", "1000000")]).await;
    let ann = Person::register(&server, "ann").await;
    for (wrong, status, code) in [
        (json!({"name": "f"}), 400, "field_missing"),
        (json!({"size": 5}), 400, "field_missing"),
        (json!({"name": "", "size": 5}), 400, "file_name_invalid"),
        (json!({"name": "f", "size": 0}), 400, "field_invalid"),
        (json!({"name": "f", "size": -1}), 400, "field_invalid"),
        (
            json!({"name": "f", "size": 1_000_001}),
            413,
            "file_too_large",
        ),
        (
            json!({"name": "f", "size": 5, "type": "x"}),
            400,
            "field_invalid",
        ),
        (
            json!({"name": "f", "size": 5, "expires_in": 604_801}),
            400,
            "field_invalid",
        ),
    ] {
        let refused = sign(&server, &ann, wrong.clone()).await.expect(status);
        assert_eq!(refused.code(), code, "{wrong}");
    }
    server
        .http()
        .open(
            Method::POST,
            "/uploads/sign",
            json!({"name": "f", "size": 5}),
        )
        .await
        .expect(401);
}
