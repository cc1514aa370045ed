//! `POST /upload`: a raw body, or a form with one file.

use std::pin::pin;

use bytes::Bytes;
use futures_util::Stream;
use http::StatusCode;
use http::header::{
    CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
    LOCATION,
};
use serde::Serialize;
use warp::reply::Response;

use super::disposition::{self, Style};
use super::multipart::Form;
use super::{digest, multipart};
use crate::http::query::Query;
use crate::http::response;
use lakechat_core::domain::{Code, File, FileId, Problem, UserName};
use lakechat_core::files::{FileName, Files, MediaType, NewFile};

/// Stores one file. `base` is the configured prefix of the file's URL, with or without a slash at its
/// end. The body's errors are returned as they are.
pub(super) async fn receive(
    files: &Files,
    user: &UserName,
    base: Option<&str>,
    headers: &HeaderMap,
    query: Query,
    body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
) -> Result<Response, Problem> {
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|v| v != "identity")
    {
        let text = "Files are stored as sent; send the body without Content-Encoding.";
        return Err(Problem::new(Code::MediaTypeUnsupported, text).field("content-encoding"));
    }
    let media_type = media_type(headers)?;
    let file = match media_type {
        Some(form) if form.essence() == "multipart/form-data" => {
            query.finish()?;
            upload_form(files, user, headers, &form, body).await?
        }
        Some(other) if other.essence().starts_with("multipart/") => {
            let text = "The only multipart type supported is multipart/form-data.";
            return Err(Problem::new(Code::MediaTypeUnsupported, text).field("content-type"));
        }
        media_type => upload_raw(files, user, headers, query, media_type, body).await?,
    };
    Ok(created(&file, base.unwrap_or_default()))
}

async fn upload_raw(
    files: &Files,
    user: &UserName,
    headers: &HeaderMap,
    mut query: Query,
    media_type: Option<MediaType>,
    body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
) -> Result<File, Problem> {
    let asked = query.take("name");
    query.finish()?;
    let name = match asked {
        Some(name) => Some(name),
        None => disposition_name(headers)?,
    };
    let new = NewFile {
        name: FileName::parse(name.unwrap_or_else(|| "file".to_owned()))?,
        media_type,
        min_bytes: content_length(headers),
    };
    let expected = digest::expected(headers)?;
    let is_expected = |sum: &[u8; 32]| expected.is_none_or(|expected| expected == *sum);
    files.upload(user, new, body, is_expected).await
}

async fn upload_form(
    files: &Files,
    user: &UserName,
    headers: &HeaderMap,
    media_type: &MediaType,
    body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
) -> Result<File, Problem> {
    let boundary = multipart::boundary(media_type.as_str())?;
    let expected = digest::expected(headers)?;
    let mut form = Form::new(body, boundary, expected.is_some());
    let wire = form.wire();
    let part = form.file().await?;
    let new = NewFile {
        name: part.name.clone(),
        media_type: part.media_type.clone(),
        min_bytes: content_length(headers).map(|n| n.saturating_sub(multipart::OVERHEAD_BYTES)),
    };
    // By RFC 9530 a request's digest is that of its body, which is the form. The digest of the file
    // alone proves as much, so both are accepted.
    let is_expected = |sum: &[u8; 32]| {
        expected.is_none_or(|expected| expected == *sum || wire.sha256() == Some(expected))
    };
    let bytes = pin!(part.bytes(form));
    files.upload(user, new, bytes, is_expected).await
}

fn media_type(headers: &HeaderMap) -> Result<Option<MediaType>, Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(None);
    };
    // A value that isn't ASCII becomes the empty string, which is refused.
    MediaType::parse(value.to_str().unwrap_or_default()).map(Some)
}

fn disposition_name(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(CONTENT_DISPOSITION) else {
        return Ok(None);
    };
    disposition::file_name(value, Style::Http).map_err(|_| FileName::invalid())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The answer to an upload. `base` is the configured prefix of the file's URL.
pub(in crate::http) fn created(file: &File, base: &str) -> Response {
    #[derive(Serialize)]
    struct Created<'a> {
        id: FileId,
        name: &'a str,
        size: u64,
        sha256: String,
        r#type: &'a str,
        url: &'a str,
    }
    let url = format!("{}/download/{}", base.trim_end_matches('/'), file.id);
    let body = Created {
        id: file.id,
        name: &file.name,
        size: file.size,
        sha256: hex::encode(file.sha256),
        r#type: &file.media_type,
        url: &url,
    };
    let mut created = response::json(StatusCode::CREATED, &body);
    let location = HeaderValue::try_from(&url).expect("a configured URL is ASCII");
    created.headers_mut().insert(LOCATION, location);
    created
}
