//! `GET` and `HEAD /download/<id>`.

use std::ops::Range;

use futures_util::{StreamExt, stream};
use headers::{ContentLength, ContentRange, HeaderMapExt};
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use tracing::Instrument;
use warp::Reply;
use warp::reply::Response;

use super::conditions::{Condition, Validators};
use super::{disposition, range};
use crate::http::response;
use lakechat_core::domain::{Code, File, FileId, Problem, UserName};
use lakechat_core::files::{Files, MediaType};
use lakechat_core::ports::file_store::ByteStream;

/// Types that a browser may display: images and text that can't run scripts. SVG can contain them,
/// and so can PDF.
const INLINE_TYPES: [&str; 6] = [
    "image/avif",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/plain",
];

/// How caches may keep what was downloaded with a token. The right to read it can end, so each use
/// must ask again.
pub(super) const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// An id from a path.
pub(in crate::http) fn parse_id(id: &str) -> Result<FileId, Problem> {
    FileId::parse_given(id).ok_or_else(|| {
        let text = "A file's id must be a UUID with hyphens.";
        Problem::new(Code::IdInvalid, text).field("id")
    })
}

/// Streams a file, or the range that the request asks for, to a user who may read it. For `HEAD`, and
/// if the conditions in the request's headers say that the client has it, it sends headers and opens
/// nothing.
///
/// `cut` may end the bytes early, with an error. A failure on the way is an error of the body's stream, which cuts the connection.
pub(super) async fn send(
    files: &Files,
    file: &File,
    user: &UserName,
    request: &HeaderMap,
    caching: HeaderValue,
    is_head: bool,
    cut: impl FnOnce(ByteStream) -> ByteStream,
) -> Result<Response, Problem> {
    let validators = Validators::of(file);
    if validators.evaluate(request)? == Condition::NotModified {
        return Ok(not_modified(&validators, caching));
    }
    // Ranges are defined for GET alone.
    let range = if !is_head && validators.range_fits(request) {
        range::requested(request, file.size)?
    } else {
        None
    };
    let bytes = range.clone().unwrap_or(0..file.size);
    let mut response = if is_head {
        Response::default()
    } else {
        content(files, file, user, bytes.clone(), cut).await?
    };
    let headers = response.headers_mut();
    describe(file, headers);
    validate(&validators, caching, headers);
    headers.typed_insert(ContentLength(bytes.end - bytes.start));
    if let Some(range) = range {
        let part = ContentRange::bytes(range, file.size);
        headers.typed_insert(part.expect("it lies within the file"));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// A response with these bytes as its body.
async fn content(
    files: &Files,
    file: &File,
    user: &UserName,
    range: Range<u64>,
    cut: impl FnOnce(ByteStream) -> ByteStream,
) -> Result<Response, Problem> {
    let size_bytes = range.end - range.start;
    let span = tracing::info_span!("download", file.id = %file.id, size_bytes);
    let content = files.content(file, range, user);
    let mut content = cut(content.instrument(span.clone()).await?);
    let content = stream::poll_fn(move |cx| {
        let _entered = span.enter();
        content.poll_next_unpin(cx)
    });
    Ok(warp::reply::stream(content).into_response())
}

fn not_modified(validators: &Validators, caching: HeaderValue) -> Response {
    let mut response = response::empty(StatusCode::NOT_MODIFIED);
    validate(validators, caching, response.headers_mut());
    response
}

/// The headers by which a cache keeps the file.
fn validate(validators: &Validators, caching: HeaderValue, headers: &mut HeaderMap) {
    headers.typed_insert(validators.etag.clone());
    headers.typed_insert(validators.last_modified());
    headers.insert(CACHE_CONTROL, caching);
}

fn describe(file: &File, headers: &mut HeaderMap) {
    // Other programs may write rows, too.
    let media_type = MediaType::parse(&file.media_type).unwrap_or_default();
    let kind = if INLINE_TYPES.contains(&media_type.essence()) {
        "inline"
    } else {
        "attachment"
    };
    let media_type = HeaderValue::from_str(media_type.as_str()).expect("it is printable ASCII");
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CONTENT_DISPOSITION, disposition::compose(kind, &file.name));
    for (name, value) in [
        (ACCEPT_RANGES, "bytes"),
        (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
