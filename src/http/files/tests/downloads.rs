//! Downloads: headers, refusals, cuts.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn downloads_say_what_they_are() {
    let bench = Bench::new();
    let bytes = noise(100_000);
    let sent = send_raw(&bench, &[], "name=a%22b%0D%0Ac", &bytes)
        .await
        .expect("taken");
    let id = sent["id"].as_str().unwrap();
    let got = get(&bench, id, false).await.expect("there");
    assert_eq!(got.status(), StatusCode::OK);
    let sum = format!("\"{}\"", hex::encode(Sha256::digest(&bytes)));
    for (name, value) in [
        ("content-length", "100000"),
        ("content-type", "application/octet-stream"),
        ("etag", &sum),
        (
            "content-disposition",
            r#"attachment; filename="a_b__c"; filename*=UTF-8''a%22b%0D%0Ac"#,
        ),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("cache-control", "private, no-cache"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(got.headers()[name], value);
    }
    let head = get(&bench, id, true).await.expect("there");
    assert_eq!(head.headers(), got.headers());
    assert_eq!(bytes_of(head).await.unwrap(), "");
    assert_eq!(bytes_of(got).await.unwrap(), bytes);
    assert_eq!(
        bench.store.shared.reads.load(Ordering::SeqCst),
        1,
        "HEAD opens nothing"
    );
}

#[tokio::test]
async fn a_file_that_the_client_has_is_not_opened() {
    let bench = Bench::new();
    let sent = send_raw(&bench, &[], "", &noise(100_000)).await;
    let sent = sent.expect("taken");
    let id = sent["id"].as_str().unwrap();
    let etag = format!("\"{}\"", sent["sha256"].as_str().unwrap());
    for is_head in [false, true] {
        let known = headers(&[("if-none-match", etag.clone())]);
        let got = get_if(&bench, id, &known, is_head).await.expect("there");
        assert_eq!(got.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(got.headers()["etag"], etag);
        assert_eq!(got.headers()["cache-control"], "private, no-cache");
        assert_eq!(
            got.headers().len(),
            3,
            "nothing about a body that isn't sent"
        );
        assert_eq!(bytes_of(got).await.unwrap(), "");
        let other = headers(&[("if-match", "\"other\"".to_owned())]);
        let refused = get_if(&bench, id, &other, is_head).await.err();
        assert_eq!(refused, Some(Code::PreconditionFailed));
    }
    assert_eq!(bench.store.shared.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_range_is_sent_alone_and_says_where_it_lies() {
    let bench = Bench::new();
    for bytes in [noise(1000), noise(100_000)] {
        let sent = send_raw(&bench, &[], "", &bytes).await.expect("taken");
        let id = sent["id"].as_str().unwrap();
        let asked = headers(&[("range", "bytes=10-19".to_owned())]);
        let got = get_if(&bench, id, &asked, false).await.expect("there");
        assert_eq!(got.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(got.headers()[CONTENT_LENGTH], "10");
        let place = format!("bytes 10-19/{}", bytes.len());
        assert_eq!(got.headers()["content-range"], place);
        assert_eq!(bytes_of(got).await.unwrap(), bytes[10..20]);

        let stale = ("if-range", "\"other\"".to_owned());
        let asked = headers(&[("range", "bytes=10-19".to_owned()), stale]);
        let got = get_if(&bench, id, &asked, false).await.expect("there");
        assert_eq!(got.status(), StatusCode::OK);
        assert_eq!(bytes_of(got).await.unwrap(), bytes);

        let asked = headers(&[("range", format!("bytes={}-", bytes.len()))]);
        let refused = get_if(&bench, id, &asked, false).await.err();
        assert_eq!(refused, Some(Code::RangeNotSatisfiable));
        let head = get_if(&bench, id, &asked, true).await.expect("there");
        assert_eq!(head.status(), StatusCode::OK, "HEAD has no ranges");
    }
}

#[tokio::test]
async fn only_what_runs_nothing_is_shown_in_place() {
    let bench = Bench::new();
    for (media_type, kind) in [
        ("image/png", "inline"),
        ("text/plain; charset=utf-8", "inline"),
        ("image/svg+xml", "attachment"),
        ("text/html", "attachment"),
        ("application/pdf", "attachment"),
        ("text/xml", "attachment"),
    ] {
        let lines = [("content-type", media_type.to_owned())];
        let sent = send_raw(&bench, &lines, "", b"<script>")
            .await
            .expect("taken");
        let got = get(&bench, sent["id"].as_str().unwrap(), true)
            .await
            .expect("there");
        assert_eq!(got.headers()[CONTENT_TYPE], media_type);
        assert_eq!(got.headers()[CONTENT_LENGTH], "8");
        let disposition = got.headers()[CONTENT_DISPOSITION].to_str().unwrap();
        assert!(disposition.starts_with(kind), "{media_type}: {disposition}");
    }
}

#[tokio::test]
async fn downloads_are_refused_with_their_codes() {
    let bench = Bench::new();
    let sent = send_raw(&bench, &[], "", &noise(100_000))
        .await
        .expect("taken");
    let id = sent["id"].as_str().unwrap();
    let upper = id.to_uppercase();
    let unknown = FileId::random().to_string();
    let code = async |id: &str| get(&bench, id, false).await.err();
    assert_eq!(code("x").await, Some(Code::IdInvalid));
    assert_eq!(code(&format!("{upper}A")).await, Some(Code::IdInvalid));
    assert_eq!(code(&unknown).await, Some(Code::FileNotFound));
    bench.store.fail_at(Step::Read);
    assert_eq!(code(id).await, Some(Code::StorageUnavailable));
    bench.rows.away.store(true, Ordering::SeqCst);
    assert_eq!(code(id).await, Some(Code::DirectoryUnavailable));
}

#[tokio::test]
async fn a_download_that_fails_in_mid_way_is_an_error_of_its_body() {
    let bench = Bench::new();
    let sent = send_raw(&bench, &[], "", &noise(300_000))
        .await
        .expect("taken");
    bench.store.fail_at(Step::ShortRead);
    let got = get(&bench, sent["id"].as_str().unwrap(), false)
        .await
        .expect("opens");
    bytes_of(got).await.expect_err("it is cut");
}

/// What a client gets on its connection, to the connection's end.
async fn over_a_connection(bench: &Bench, method: &str, id: &str) -> Vec<u8> {
    let (mut client, server) = tokio::io::duplex(1024);
    let service = hyper::service::service_fn(async |request: http::Request<_>| {
        let _: &hyper::body::Incoming = request.body();
        get(bench, id, request.method() == "HEAD")
            .await
            .map_err(Code::as_str)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(hyper_util::rt::TokioIo::new(server), service);
    let talk = async {
        let ask = format!("{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        client.write_all(ask.as_bytes()).await.expect("asks");
        let mut answer = Vec::new();
        client
            .read_to_end(&mut answer)
            .await
            .expect("reads to the end");
        answer
    };
    // How the server's side ends is seen by what the client got.
    let (_ended, answer) = tokio::join!(connection, talk);
    answer
}

#[tokio::test]
async fn a_client_sees_the_length_and_a_cut_connection() {
    let bench = Bench::new();
    let bytes = noise(300_000);
    let sent = send_raw(&bench, &[], "", &bytes).await.expect("taken");
    let id = sent["id"].as_str().unwrap();
    let length = b"content-length: 300000\r\n";
    let tells_length = |answer: &[u8]| answer.windows(length.len()).any(|w| w == length);

    let head = over_a_connection(&bench, "HEAD", id).await;
    assert!(tells_length(&head) && head.ends_with(b"\r\n\r\n"));
    let whole = over_a_connection(&bench, "GET", id).await;
    assert!(tells_length(&whole) && whole.ends_with(&bytes));
    assert!(!whole.windows(17).any(|w| w == b"transfer-encoding"));

    bench.store.fail_at(Step::ShortRead);
    let cut = over_a_connection(&bench, "GET", id).await;
    assert!(
        cut.len() < 200_000,
        "it ends before the length that was told"
    );
}
