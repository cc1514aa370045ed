//! `GET` and `HEAD /download/<id>`.

use futures_util::{StreamExt, stream};
use headers::{ETag, HeaderMapExt};
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use tracing::Instrument;
use warp::Reply;
use warp::reply::Response;

use super::conditions::{Condition, evaluate};
use super::disposition;
use crate::http::response;
use lakechat_core::domain::{Code, File, FileId, Problem, UserName};
use lakechat_core::files::{Files, MediaType};

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

/// The file of an id from a path.
pub(super) async fn find(files: &Files, id: &str) -> Result<File, Problem> {
    let id = FileId::parse_given(id).ok_or_else(|| {
        let text = "A file's id must be a UUID with hyphens.";
        Problem::new(Code::IdInvalid, text).field("id")
    })?;
    files.find(id).await
}

/// Streams a file to a user who may read it. For `HEAD`, and if the conditions in the request's
/// headers say that the client has it, it sends headers and opens nothing.
///
/// A failure on the way is an error of the body's stream, which cuts the connection.
pub(super) async fn send(
    files: &Files,
    file: &File,
    user: &UserName,
    conditions: &HeaderMap,
    is_head: bool,
) -> Result<Response, Problem> {
    let etag = etag(file);
    if evaluate(conditions, &etag)? == Condition::NotModified {
        return Ok(not_modified(etag));
    }
    let mut response = if is_head {
        Response::default()
    } else {
        let span = tracing::info_span!("download", file.id = %file.id, size_bytes = file.size);
        let mut content = files.content(file, user).instrument(span.clone()).await?;
        let content = stream::poll_fn(move |cx| {
            let _entered = span.enter();
            content.poll_next_unpin(cx)
        });
        warp::reply::stream(content).into_response()
    };
    describe(file, etag, response.headers_mut());
    Ok(response)
}

fn not_modified(etag: ETag) -> Response {
    let mut response = response::empty(StatusCode::NOT_MODIFIED);
    validate(etag, response.headers_mut());
    response
}

fn etag(file: &File) -> ETag {
    let quoted = format!("\"{}\"", hex::encode(file.sha256));
    quoted.parse().expect("hex digits in quotes")
}

/// The headers by which a cache keeps the file. The right to read it can end, so each use must ask
/// again.
fn validate(etag: ETag, headers: &mut HeaderMap) {
    headers.typed_insert(etag);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

fn describe(file: &File, etag: ETag, headers: &mut HeaderMap) {
    // Other programs may write rows, too.
    let media_type = MediaType::parse(&file.media_type).unwrap_or_default();
    let kind = if INLINE_TYPES.contains(&media_type.essence()) {
        "inline"
    } else {
        "attachment"
    };
    let media_type = HeaderValue::from_str(media_type.as_str()).expect("it is printable ASCII");
    validate(etag, headers);
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CONTENT_LENGTH, file.size.into());
    headers.insert(CONTENT_DISPOSITION, disposition::compose(kind, &file.name));
    for (name, value) in [
        (ACCEPT_RANGES, "none"),
        (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
