//! The protocol of resumable uploads: what each request may say, and what is answered.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use integration_tests::http::send;
use integration_tests::tus::{Tus, content, location, metadata, offset};
use integration_tests::{Answer, Person, Server, eventually};
use lakechat_core::domain::Code;
use reqwest::{Method, RequestBuilder};
use sha2::{Digest, Sha256};

use crate::MODE;

const KIND: &str = "application/offset+octet-stream";

async fn stage() -> (Server, Person) {
    let server = Server::with(MODE, &[("LAKECHAT_FILES__MAX_BYTES", "1000000")]).await;
    let ann = Person::register(&server, "ann").await;
    (server, ann)
}

fn sum(bytes: &[u8]) -> String {
    format!("sha256 {}", BASE64_STANDARD.encode(Sha256::digest(bytes)))
}

async fn code(request: RequestBuilder, status: u16) -> String {
    send(request).await.expect(status).code()
}

#[tokio::test]
async fn options_describe_the_server_without_a_token_and_other_calls_want_the_version() {
    let (server, ann) = stage().await;
    for path in ["/uploads", "/uploads/x"] {
        let answer = send(server.http().request(Method::OPTIONS, path))
            .await
            .expect(204);
        assert_eq!(answer.header("tus-version"), Some("1.0.0"));
        assert_eq!(answer.header("tus-max-size"), Some("1000000"));
        assert_eq!(answer.header("tus-checksum-algorithm"), Some("sha256,sha1"));
        let extensions = answer.header("tus-extension").expect("extensions");
        for extension in [
            "creation",
            "creation-with-upload",
            "termination",
            "concatenation",
        ] {
            assert!(
                extensions.split(',').any(|one| one == extension),
                "{extensions}"
            );
        }
    }
    let path = Tus::new(&server, &ann).create("f", 5).await;
    for method in [Method::HEAD, Method::PATCH, Method::DELETE] {
        let request = server
            .http()
            .request(method, &path)
            .bearer_auth(ann.token());
        let refused = send(request.header("tus-resumable", "0.2.2"))
            .await
            .expect(412);
        assert_eq!(refused.header("tus-version"), Some("1.0.0"));
        assert_eq!(refused.header("tus-resumable"), Some("1.0.0"));
    }
    let request = server.http().request(Method::HEAD, &path);
    send(request.header("tus-resumable", "1.0.0"))
        .await
        .expect(401);
}

#[tokio::test]
async fn first_bytes_come_with_the_creation() {
    let (server, ann) = stage().await;
    let tus = Tus::new(&server, &ann);
    let create = |body: Vec<u8>| {
        let request = tus
            .request(Method::POST, "/uploads")
            .header("upload-length", 10);
        request
            .header("content-type", KIND)
            .header("upload-metadata", metadata("a"))
            .body(body)
    };
    let created = send(create(content(10))).await.expect(201);
    assert_eq!(offset(&created), 10);
    assert_eq!(
        tus.download(&location(&created)).await.expect(200).body,
        content(10)
    );
    let created = send(create(content(4))).await.expect(201);
    let path = location(&created);
    let head = tus.head(&path).await.expect(200);
    assert_eq!(head.header("upload-length"), Some("10"));
    assert_eq!(head.header("upload-metadata"), Some(&*metadata("a")));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    assert!(
        head.header("upload-expires")
            .is_some_and(|date| date.ends_with("GMT"))
    );
    tus.append(&path, 4, content(10)[4..].to_vec())
        .await
        .expect(204);
    assert_eq!(tus.download(&path).await.expect(200).body, content(10));
    assert_eq!(code(create(content(11)), 413).await, "file_too_large");
    let other = create(content(1)).header("upload-checksum", sum(b"other"));
    assert_eq!(code(other, 460).await, "checksum_mismatch");
    assert_eq!(
        server.stored_files().len(),
        2,
        "the halves of the one that was cut"
    );
}

#[tokio::test]
async fn length_may_be_said_with_the_last_bytes() {
    let (server, ann) = stage().await;
    let tus = Tus::new(&server, &ann);
    let request = tus
        .request(Method::POST, "/uploads")
        .header("upload-defer-length", 1);
    let path = location(&send(request).await.expect(201));
    tus.append(&path, 0, content(3)).await.expect(204);
    let head = tus.head(&path).await.expect(200);
    assert_eq!(
        (
            head.header("upload-length"),
            head.header("upload-defer-length")
        ),
        (None, Some("1"))
    );
    let last = tus
        .patch(&path, 3, content(4)[3..].to_vec())
        .header("upload-length", 4);
    send(last).await.expect(204);
    assert_eq!(tus.download(&path).await.expect(200).body, content(4));
}

#[tokio::test]
async fn of_two_requests_at_once_one_appends_and_the_other_conflicts() {
    let (server, ann) = stage().await;
    let tus = Tus::new(&server, &ann);
    let bytes = content(200_000);
    let path = tus.create("f", 200_000).await;
    let slow = tus.begin(&path, 0, 200_000, &bytes[..100_000]).await;
    tus.append(&path, 0, bytes[..150_000].to_vec())
        .await
        .expect(204);
    drop(slow);
    let refused = tus.append(&path, 0, bytes.clone()).await.expect(409);
    assert_eq!(refused.code(), "offset_conflict");
    assert_eq!(refused.json()["error"]["limit"], 150_000);
    tus.append(&path, 150_000, bytes[150_000..].to_vec())
        .await
        .expect(204);
    assert_eq!(tus.download(&path).await.expect(200).body, bytes);
    eventually("the bytes of the slow request are gone", async || {
        (server.stored_files().len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn wrong_checksum_keeps_the_offset() {
    let (server, ann) = stage().await;
    let tus = Tus::new(&server, &ann);
    let bytes = content(100_000);
    let path = tus.create("f", 100_000).await;
    let wrong = tus
        .patch(&path, 0, bytes.clone())
        .header("upload-checksum", sum(b"other"));
    assert_eq!(code(wrong, 460).await, "checksum_mismatch");
    assert_eq!(tus.offset(&path).await, 0);
    assert_eq!(server.stored_files().len(), 0);
    let unknown = tus
        .patch(&path, 0, bytes.clone())
        .header("upload-checksum", "md5 AAAA");
    assert_eq!(code(unknown, 400).await, "field_invalid");
    let right = tus
        .patch(&path, 0, bytes.clone())
        .header("upload-checksum", sum(&bytes));
    send(right).await.expect(204);
    assert_eq!(tus.download(&path).await.expect(200).body, bytes);
}

#[tokio::test]
async fn more_bytes_than_announced_are_refused_and_nothing_of_them_is_left() {
    let (server, ann) = stage().await;
    let tus = Tus::new(&server, &ann);
    let create = |length: &str| {
        tus.request(Method::POST, "/uploads")
            .header("upload-length", length)
    };
    assert_eq!(code(create("1000001"), 413).await, "file_too_large");
    for wrong in ["-1", "x", "1e3"] {
        assert_eq!(code(create(wrong), 400).await, "field_invalid");
    }
    assert_eq!(
        code(tus.request(Method::POST, "/uploads"), 400).await,
        "field_missing"
    );
    let path = tus.create("f", 100_000).await;
    let over = content(100_001);
    assert_eq!(
        tus.append(&path, 0, over.clone()).await.expect(413).code(),
        "file_too_large"
    );
    let chunks = futures_util::stream::iter(
        over.chunks(10_000)
            .map(|c| Ok::<_, std::io::Error>(c.to_vec()))
            .collect::<Vec<_>>(),
    );
    let chunked = tus
        .append(&path, 0, reqwest::Body::wrap_stream(chunks))
        .await;
    assert_eq!(chunked.expect(413).code(), "file_too_large");
    let no_offset = tus
        .request(Method::PATCH, &path)
        .header("content-type", KIND)
        .body("x");
    assert_eq!(code(no_offset, 400).await, "field_missing");
    let no_kind = tus
        .request(Method::PATCH, &path)
        .header("upload-offset", 0)
        .body("x");
    assert_eq!(code(no_kind, 415).await, "media_type_unsupported");
    let zipped = tus.patch(&path, 0, "x").header("content-encoding", "gzip");
    assert_eq!(code(zipped, 415).await, "media_type_unsupported");
    assert_eq!(tus.offset(&path).await, 0);
    assert_eq!(server.stored_files().len(), 0);
}

#[tokio::test]
async fn hostile_names_are_kept_as_names_or_refused() {
    let (server, ann) = stage().await;
    let tus = Tus::new(&server, &ann);
    let longest = "n".repeat(255);
    for name in [
        "../../x",
        "..",
        ".",
        "/etc/passwd",
        "a/b",
        "C:\\con.txt",
        "a\"b",
        "a'b",
        "a;b",
        "a,b",
        "a\r\nb",
        "\u{202e}cod.exe",
        "日本.txt",
        "👩‍💻",
        " ",
        "a ",
        "-rf",
        "$(id)",
        "`id`",
        "%2e%2e%2f",
        "<script>",
        "\u{7f}",
        "\u{1b}[31m",
        "~",
        "*",
        "?",
        "|",
        &longest,
    ] {
        let path = tus.create(name, 0).await;
        let about = path.replace("/uploads/", "/files/");
        let about = server
            .http()
            .get(&about, ann.token())
            .await
            .expect(200)
            .json();
        assert_eq!(about["name"], name);
        let got = tus.download(&path).await.expect(200);
        let disposition = got.header("content-disposition").expect("a disposition");
        assert!(!disposition.contains(['\r', '\n']), "{disposition}");
    }
    let create = |metadata: &str| {
        let request = tus
            .request(Method::POST, "/uploads")
            .header("upload-length", 1);
        request.header("upload-metadata", metadata)
    };
    for name in ["", "a\0b", &"n".repeat(256), &"日".repeat(86)] {
        assert_eq!(
            code(create(&metadata(name)), 400).await,
            "file_name_invalid",
            "{name:?}"
        );
    }
    assert_eq!(
        code(create("filename /w=="), 400).await,
        "file_name_invalid"
    );
    assert_eq!(code(create("filename ?"), 400).await, "field_invalid");
    assert_eq!(server.stored_files().len(), 0);
}

#[tokio::test]
async fn partial_uploads_become_one_file() {
    let (server, ann) = stage().await;
    let tus = Tus::new(&server, &ann);
    let bytes = content(250_000);
    let mut urls = String::from("final;");
    for piece in bytes.chunks(100_000) {
        let request = tus
            .request(Method::POST, "/uploads")
            .header("upload-concat", "partial");
        let created = send(request.header("upload-length", piece.len()))
            .await
            .expect(201);
        let path = location(&created);
        tus.append(&path, 0, piece.to_vec()).await.expect(204);
        assert_eq!(
            tus.head(&path).await.header("upload-concat"),
            Some("partial")
        );
        tus.download(&path).await.expect(404);
        urls.push_str(&format!("{}{path} ", server.url()));
    }
    let make = |urls: &str| {
        let request = tus
            .request(Method::POST, "/uploads")
            .header("upload-concat", urls.trim());
        request.header("upload-metadata", metadata("whole"))
    };
    let made = send(make(&urls)).await.expect(201);
    let path = location(&made);
    assert_eq!(tus.download(&path).await.expect(200).body, bytes);
    assert_eq!(tus.offset(&path).await, 250_000);
    assert_eq!(
        code(make(&format!("final;{path}")), 400).await,
        "field_invalid"
    );
}

#[tokio::test]
async fn methods_can_be_named_in_a_header() {
    let (server, ann) = stage().await;
    let tus = Tus::new(&server, &ann);
    let path = tus.create("f", 5).await;
    let post = |method: &str| {
        tus.request(Method::POST, &path)
            .header("x-http-method-override", method)
    };
    let patch = post("PATCH")
        .header("content-type", KIND)
        .header("upload-offset", 0);
    assert_eq!(offset(&send(patch.body("hello")).await.expect(204)), 5);
    assert_eq!(code(post("PUT"), 405).await, "method_not_allowed");
    send(post("DELETE")).await.expect(204);
    tus.download(&path).await.expect(404);
}

/// With `upload_expired` and the files of the data folder.
#[tokio::test]
async fn upload_expires_and_the_sweeper_removes_its_bytes() {
    let key = [("LAKECHAT_FILES__UPLOAD_EXPIRY_SECONDS", "1")];
    let mut server = Server::with(MODE, &key).await;
    let ann = Person::register(&server, "ann").await;
    let tus = Tus::new(&server, &ann);
    let path = tus.create("f", 200_000).await;
    tus.append(&path, 0, content(100_000)).await.expect(204);
    let expired = async |server: &Server| {
        let refused: Answer = eventually("it expires", async || {
            // At a wrong offset, so that it does not live on.
            let answer = Tus::new(server, &ann).append(&path, 0, content(1)).await;
            (answer.status.as_u16() == 410).then_some(answer)
        })
        .await;
        assert_eq!(refused.code(), Code::UploadExpired.as_str());
    };
    expired(&server).await;
    assert_eq!(server.stored_files().len(), 1);
    // A server sweeps when it starts.
    server.stop().await;
    server.restart().await;
    eventually("its bytes are removed", async || {
        server.stored_files().is_empty().then_some(())
    })
    .await;
    expired(&server).await;
}
