//! `GET` and `HEAD /download/<id>`.

use futures_util::{StreamExt, stream};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use tracing::Instrument;
use warp::Reply;
use warp::reply::Response;

use super::disposition;
use lakechat_core::domain::{Code, File, FileId, Problem, UserName};
use lakechat_core::files::Files;

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

/// Streams a file to a user who may read it. For `HEAD` it sends the headers and opens nothing.
///
/// A failure on the way is an error of the body's stream, which cuts the connection.
pub(super) async fn send(
    files: &Files,
    file: &File,
    user: &UserName,
    is_head: bool,
) -> Result<Response, Problem> {
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
    describe(file, response.headers_mut());
    Ok(response)
}

fn describe(file: &File, headers: &mut HeaderMap) {
    let media_type = HeaderValue::from_str(&file.media_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let essence = file.media_type.split(';').next().unwrap_or_default();
    let kind = if INLINE_TYPES.contains(&essence) {
        "inline"
    } else {
        "attachment"
    };
    let etag = HeaderValue::try_from(format!("\"{}\"", hex::encode(file.sha256)))
        .expect("hex digits in quotes");
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CONTENT_LENGTH, file.size.into());
    headers.insert(CONTENT_DISPOSITION, disposition::compose(kind, &file.name));
    headers.insert(ETAG, etag);
    for (name, value) in [
        (ACCEPT_RANGES, "none"),
        // The right to read a file can end, so each use must ask again.
        (CACHE_CONTROL, "private, no-cache"),
        (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
