//! `/upload` and `/download/<id>` as a client sees them, without the server loop.

mod downloads;
mod forms;
mod raw;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use warp::reply::Response;

use super::download::{self, PRIVATE, parse_id};
use super::upload;
use crate::http::query::Query;
use lakechat_core::domain::{Code, FileId, Problem};
use lakechat_core::files::testing::{Bench, INLINE_BYTES, MAX_BYTES, Step, user};

type Header = (&'static str, String);

const FORM: &str = "multipart/form-data; boundary=B";

fn headers(lines: &[Header]) -> HeaderMap {
    let pairs = lines.iter().map(|(name, value)| {
        let name = http::HeaderName::from_static(name);
        (name, value.parse().expect("a header's value"))
    });
    pairs.collect()
}

/// A body that is always ready, in chunks of so many bytes.
fn chunked(
    bytes: &[u8],
    size: usize,
) -> impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send + use<> {
    let chunks: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
    stream::iter(chunks.into_iter().map(Ok))
}

async fn send(
    bench: &Bench,
    lines: &[Header],
    query: &str,
    body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
) -> Result<Value, Problem> {
    let query = Query::parse(Some(query)).expect("well formed");
    let ann = user("ann");
    let lines = headers(lines);
    let answer = sendable(upload::receive(
        &bench.files,
        &ann,
        None,
        &lines,
        query,
        body,
    ))
    .await?;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let location = answer.headers()[LOCATION].clone();
    let answer: Value = serde_json::from_slice(&bytes_of(answer).await.unwrap()).expect("JSON");
    assert_eq!(answer["url"], location.to_str().unwrap());
    assert_eq!(
        answer["url"],
        format!("/download/{}", answer["id"].as_str().unwrap())
    );
    Ok(answer)
}

async fn send_raw(
    bench: &Bench,
    lines: &[Header],
    query: &str,
    bytes: &[u8],
) -> Result<Value, Code> {
    let sent = send(bench, lines, query, chunked(bytes, 10_000)).await;
    sent.map_err(|problem| problem.code)
}

async fn send_form(bench: &Bench, form: &[u8]) -> Result<Value, Code> {
    let lines = [("content-type", FORM.to_owned())];
    send_raw(bench, &lines, "", form).await
}

/// The server's tasks move between threads.
fn sendable<F: Future + Send>(future: F) -> F {
    future
}

async fn bytes_of(answer: Response) -> Result<Bytes, warp::Error> {
    Ok(answer.into_body().collect().await?.to_bytes())
}

async fn get(bench: &Bench, id: &str, head: bool) -> Result<Response, Code> {
    get_if(bench, id, &HeaderMap::new(), head).await
}

async fn get_if(
    bench: &Bench,
    id: &str,
    conditions: &HeaderMap,
    head: bool,
) -> Result<Response, Code> {
    let user = user("ann");
    let answer = async {
        let file = bench.files.find(parse_id(id)?).await?;
        download::send(
            &bench.files,
            &file,
            &user,
            conditions,
            PRIVATE,
            head,
            std::convert::identity,
        )
        .await
    };
    sendable(answer)
        .await
        .map_err(|problem: Problem| problem.code)
}

async fn fetch(bench: &Bench, sent: &Value) -> Bytes {
    let id = sent["id"].as_str().expect("an id");
    let answer = get(bench, id, false).await.expect("it is there");
    bytes_of(answer).await.expect("it is whole")
}

fn part(disposition: &str, more: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("--B\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n");
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [&parts.concat(), &b"--B--\r\n"[..]].concat()
}

fn one_file(bytes: &[u8]) -> Vec<u8> {
    form(&[part("name=\"f\"; filename=\"a.bin\"", "", bytes)])
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}
