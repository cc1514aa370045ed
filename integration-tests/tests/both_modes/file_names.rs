//! Names that people and attackers give to files: kept as they are, harmless everywhere.

use integration_tests::http::send;
use integration_tests::{Person, Server, bytes};
use reqwest::multipart::{Form, Part};

use crate::MODE;

#[tokio::test]
async fn any_name_is_kept_and_comes_back_in_the_disposition() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let longest = "n".repeat(255);
    for (name, encoded) in [
        ("../../x", "..%2F..%2Fx"),
        ("a\"b\r\nc", "a%22b%0D%0Ac"),
        ("日本.txt", "%E6%97%A5%E6%9C%AC.txt"),
        ("C:\\con.txt", "C%3A%5Ccon.txt"),
        (&longest, &longest),
    ] {
        let file = server
            .http()
            .upload(ann.token(), name, name.to_owned())
            .await;
        let file = file.expect(201).json();
        assert_eq!(file["name"], name);
        let path = format!("/download/{}", file["id"].as_str().expect("an id"));
        let got = server.http().get(&path, ann.token()).await.expect(200);
        assert_eq!(got.body, name.as_bytes());
        let disposition = got.header("content-disposition").expect("a disposition");
        assert!(disposition.starts_with("attachment"), "{disposition}");
        assert!(!disposition.contains(['\r', '\n']), "{disposition}");
        // RFC 8187 where the plain form can't say it; as a token or quoted string otherwise.
        let plain = disposition.contains(&format!("filename={name}"))
            || disposition.contains(&format!("filename=\"{name}\""));
        let extended = format!("filename*=UTF-8''{encoded}").to_lowercase();
        assert!(
            plain || disposition.to_lowercase().contains(&extended),
            "{name:?}: {disposition}"
        );
    }
    // Nothing was written where a name pointed.
    for stored in server.stored_files() {
        assert!(stored.starts_with(server.data_dir()));
        let name = stored
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(!name.contains("con") && name != "x", "{name}");
    }
    let outside = server.data_dir().parent().expect("a folder").join("x");
    assert!(!outside.exists());
}

#[tokio::test]
async fn names_that_cannot_be_are_refused() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let too_long = "n".repeat(256);
    let too_long_in_bytes = "日".repeat(86);
    for name in ["", "a\0b", &too_long, &too_long_in_bytes] {
        let answer = server.http().upload(ann.token(), name, "x").await;
        assert_eq!(answer.expect(400).code(), "file_name_invalid", "{name:?}");
    }
    let longest = "日".repeat(85);
    server
        .http()
        .upload(ann.token(), &longest, "x")
        .await
        .expect(201);
    assert!(
        server.stored_files().is_empty(),
        "small files are cells, refused ones nothing"
    );
}

#[tokio::test]
async fn name_comes_from_the_query_the_disposition_or_the_form() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let http = server.http();
    let upload = |path: &str| {
        http.request(reqwest::Method::POST, path)
            .bearer_auth(ann.token())
    };
    let name = async |request: reqwest::RequestBuilder| {
        let file = send(request).await.expect(201).json();
        assert_eq!(file["sha256"], bytes::sha256(b"x"));
        file["name"].as_str().expect("a name").to_owned()
    };
    let disposed = |value: &str| {
        upload("/upload")
            .header("content-disposition", value)
            .body("x")
    };
    assert_eq!(name(upload("/upload").body("x")).await, "file");
    assert_eq!(
        name(disposed("attachment; filename=\"a b.txt\"")).await,
        "a b.txt"
    );
    assert_eq!(
        name(disposed(
            "attachment; filename*=UTF-8''%E6%97%A5.txt; filename=x"
        ))
        .await,
        "日.txt"
    );
    let both = upload("/upload?name=query.txt")
        .header("content-disposition", "attachment; filename=header.txt")
        .body("x");
    assert_eq!(name(both).await, "query.txt");
    let form = Form::new().part(
        "file",
        Part::bytes(b"x".as_slice()).file_name("../日本.txt"),
    );
    assert_eq!(name(upload("/upload").multipart(form)).await, "../日本.txt");
}
