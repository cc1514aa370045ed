//! Codes of uploads and downloads.

use integration_tests::http::send;
use lakechat_core::domain::Code;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};

use super::{Case, MAX_FILE_BYTES, Refusal, Stage, refusal};

fn upload(stage: &Stage) -> RequestBuilder {
    let request = stage.http().request(Method::POST, "/upload");
    request.bearer_auth(stage.ann.token())
}

async fn refused(request: RequestBuilder) -> Refusal {
    refusal(&send(request).await)
}

fn part(name: &'static str) -> Part {
    Part::bytes(b"x".as_slice()).file_name(name)
}

pub const CASES: &[Case] = &[
    (Code::FileMissing, 400, |s| {
        Box::pin(refused(
            upload(s).multipart(Form::new().text("note", "no file")),
        ))
    }),
    (Code::TooManyFiles, 400, |s| {
        let form = Form::new().part("a", part("a")).part("b", part("b"));
        Box::pin(refused(upload(s).multipart(form)))
    }),
    (Code::MultipartInvalid, 400, |s| {
        let kind = "multipart/form-data; boundary=xyz";
        let request = upload(s).header("content-type", kind);
        Box::pin(refused(request.body("--xyz\r\nnonsense")))
    }),
    (Code::FileNameInvalid, 400, |s| {
        Box::pin(async move {
            let name = "n".repeat(256);
            refusal(&s.http().upload(s.ann.token(), &name, "x").await)
        })
    }),
    (Code::FileTooLarge, 413, |s| {
        Box::pin(refused(upload(s).body(vec![b'x'; MAX_FILE_BYTES + 1])))
    }),
    (Code::ChecksumMismatch, 422, |s| {
        let digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        Box::pin(refused(
            upload(s).header("content-digest", digest).body("not empty"),
        ))
    }),
    (Code::IdInvalid, 400, |s| Box::pin(s.get("/download/x"))),
    (Code::Forbidden, 403, |s| {
        Box::pin(async move {
            let file = s.http().upload(s.ann.token(), "mine", "x").await;
            let file = file.expect(201).json();
            let path = format!("/download/{}", file["id"].as_str().expect("an id"));
            s.bob(Method::GET, &path).await
        })
    }),
    (Code::PreconditionFailed, 412, |s| {
        Box::pin(async move {
            let file = s.http().upload(s.ann.token(), "mine", "x").await;
            let file = file.expect(201).json();
            let path = format!("/download/{}", file["id"].as_str().expect("an id"));
            let request = s.http().request(Method::GET, &path);
            let request = request.bearer_auth(s.ann.token());
            refused(request.header("if-match", "\"other\"")).await
        })
    }),
    (Code::RangeNotSatisfiable, 416, |s| {
        Box::pin(async move {
            let file = s.http().upload(s.ann.token(), "mine", "x").await;
            let file = file.expect(201).json();
            let path = format!("/download/{}", file["id"].as_str().expect("an id"));
            let request = s.http().request(Method::GET, &path);
            let request = request.bearer_auth(s.ann.token());
            refused(request.header("range", "bytes=1-")).await
        })
    }),
    (Code::FileNotFound, 404, |s| {
        Box::pin(async move { s.get(&format!("/download/{}", uuid::Uuid::new_v4())).await })
    }),
];
