//! Codes of uploads and downloads.

use integration_tests::http::send;
use integration_tests::tus::Tus;
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

/// The path of a file of ann's, of one byte.
async fn one_byte(stage: &Stage) -> String {
    let file = stage.http().upload(stage.ann.token(), "mine", "x").await;
    let file = file.expect(201).json();
    format!("/download/{}", file["id"].as_str().expect("an id"))
}

/// Of that file, by ann and with this header.
async fn download(stage: &Stage, header: &'static str, value: &'static str) -> Refusal {
    let path = one_byte(stage).await;
    let request = stage.http().request(Method::GET, &path);
    refused(request.bearer_auth(stage.ann.token()).header(header, value)).await
}

fn part(name: &'static str) -> Part {
    Part::bytes(b"x".as_slice()).file_name(name)
}

/// What answers ann's first bytes for an upload of five, if it is not at this offset or in this version.
async fn append(stage: &Stage, offset: u64, version: &'static str) -> Refusal {
    let path = Tus::new(&stage.server, &stage.ann).create("f", 5).await;
    let request = stage.http().request(Method::PATCH, &path);
    let request = request
        .bearer_auth(stage.ann.token())
        .header("tus-resumable", version)
        .header("content-type", "application/offset+octet-stream")
        .header("upload-offset", offset);
    refused(request.body("x")).await
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
        Box::pin(async move { s.bob(Method::GET, &one_byte(s).await).await })
    }),
    (Code::PreconditionFailed, 412, |s| {
        Box::pin(download(s, "if-match", "\"other\""))
    }),
    (Code::RangeNotSatisfiable, 416, |s| {
        Box::pin(download(s, "range", "bytes=1-"))
    }),
    (Code::FileNotFound, 404, |s| {
        Box::pin(async move { s.get(&format!("/download/{}", uuid::Uuid::new_v4())).await })
    }),
    (Code::UploadNotFound, 404, |s| {
        Box::pin(async move {
            let path = format!("/uploads/{}", uuid::Uuid::new_v4());
            let tus = Tus::new(&s.server, &s.ann);
            refused(tus.request(Method::DELETE, &path)).await
        })
    }),
    (Code::OffsetConflict, 409, |s| {
        Box::pin(append(s, 1, "1.0.0"))
    }),
    (Code::TooManyParts, 409, |s| {
        Box::pin(async move {
            let tus = Tus::new(&s.server, &s.ann);
            let path = tus.create("f", 10_000).await;
            let mut sent = 0;
            for n in 0..1_000 {
                // Parts of such sizes are not joined.
                let chunk = if n % 16 == 0 { 31 } else { 1 };
                tus.append(&path, sent, vec![7; chunk]).await.expect(204);
                sent += chunk as u64;
            }
            refused(tus.patch(&path, sent, "x")).await
        })
    }),
    (Code::TusVersionUnsupported, 412, |s| {
        Box::pin(append(s, 0, "0.2.2"))
    }),
];
