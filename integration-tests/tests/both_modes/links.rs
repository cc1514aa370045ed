//! Signed URLs of downloads.

use integration_tests::http::{Answer, send};
use integration_tests::{Person, Server, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::MODE;

const TEXT: &str = "what a link leads to";

async fn upload(server: &Server, by: &Person) -> String {
    let sent = server.http().upload(by.token(), "f.txt", TEXT).await;
    let sent = sent.expect(201).json();
    sent["url"].as_str().expect("its path").to_owned()
}

async fn sign(server: &Server, by: &Person, path: &str, body: Value) -> Answer {
    let path = format!("{path}/sign");
    server.http().post(&path, by.token(), body).await
}

async fn signed(server: &Server, by: &Person, path: &str, seconds: u64) -> String {
    let signed = sign(server, by, path, json!({"expires_in": seconds})).await;
    let signed = signed.expect(201).json();
    assert_eq!(signed["method"], "GET");
    signed["url"].as_str().expect("a URL").to_owned()
}

/// Without a token.
async fn get(server: &Server, url: &str) -> Answer {
    send(server.http().request(Method::GET, url)).await
}

#[tokio::test]
async fn url_needs_no_token_and_any_cache_may_keep_it() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let path = upload(&server, &ann).await;
    get(&server, &path).await.expect(401);
    let url = signed(&server, &ann, &path, 600).await;
    let whole = get(&server, &url).await.expect(200);
    assert_eq!(whole.body, TEXT.as_bytes());
    let caching = whole.header("cache-control").expect("it is told");
    let age = caching.strip_prefix("public, max-age=");
    let age = age.and_then(|rest| rest.strip_suffix(", immutable"));
    let age: u64 = age.and_then(|age| age.parse().ok()).expect(caching);
    assert!((590..=600).contains(&age), "{age}");

    let request = server.http().request(Method::GET, &url);
    let part = send(request.header("range", "bytes=0-3")).await.expect(206);
    assert_eq!(part.body, b"what");
    let head = send(server.http().request(Method::HEAD, &url)).await;
    assert_eq!(head.expect(200).header("content-length"), Some("20"));
    send(server.http().request(Method::PUT, &url))
        .await
        .expect(405);
}

#[tokio::test]
async fn only_who_may_read_a_file_signs_and_only_as_long() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let path = upload(&server, &ann).await;
    assert_eq!(
        sign(&server, &bob, &path, json!({}))
            .await
            .expect(403)
            .code(),
        "forbidden"
    );
    let none = "/download/00000000-0000-4000-8000-000000000000";
    assert_eq!(
        sign(&server, &ann, none, json!({}))
            .await
            .expect(404)
            .code(),
        "file_not_found"
    );
    for wrong in [json!(0), json!(604_801), json!(-1), json!("60"), json!(1.5)] {
        let refused = sign(&server, &ann, &path, json!({"expires_in": wrong})).await;
        assert_eq!(refused.expect(400).code(), "field_invalid", "{wrong}");
    }
    let unlimited = server
        .http()
        .call(Method::POST, &format!("{path}/sign"), ann.token())
        .await;
    let signed = unlimited.expect(201).json();
    let (at, now) = (
        signed["expires_at"].as_u64().expect("ms"),
        lakechat_core::domain::now_ms(),
    );
    assert!(at > now + 3_500_000 && at <= now + 3_600_000, "an hour");
}

#[tokio::test]
async fn url_that_was_changed_is_refused() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let (path, other) = (upload(&server, &ann).await, upload(&server, &ann).await);
    let url = signed(&server, &ann, &path, 600).await;
    let refused = async |url: String| get(&server, &url).await.expect(403).code();
    let longer = url.replace("expires=", "expires=9");
    let in_another_name = url.replace("user=ann", &format!("user={}", bob.name()));
    let of_another_file = url.replace(&path, &other);
    let (without, _) = url.split_once("&signature").expect("it is last");
    let shorter = url[..url.len() - 1].to_owned();
    for changed in [
        longer,
        in_another_name,
        of_another_file,
        without.to_owned(),
        shorter,
        format!("{path}?signature="),
        format!("{path}?user=A&expires=x&signature=00"),
    ] {
        assert_eq!(
            refused(changed.clone()).await,
            "signature_invalid",
            "{changed}"
        );
    }
    let more = get(&server, &format!("{url}&more=1")).await.expect(400);
    assert_eq!(more.code(), "param_unknown");
}

#[tokio::test]
async fn url_ends_at_its_expiry() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let path = upload(&server, &ann).await;
    let url = signed(&server, &ann, &path, 1).await;
    let ended = eventually("it expires", async || {
        let got = get(&server, &url).await;
        (got.status != 200).then_some(got)
    })
    .await;
    assert_eq!(ended.expect(403).code(), "url_expired");
}
