//! What signed URLs of downloads and of uploads have in common: how long they are valid, and the answer to
//! the call that makes one.

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;
use warp::reply::Response;

use super::response;
use lakechat_core::domain::{FileId, Problem};
use lakechat_core::json_object::{JsonObject, field_invalid};

/// How long a URL is valid: unless the caller says so, and at most. In seconds.
pub const DEFAULT_S: u64 = 3_600;
const MOST_S: u64 = 7 * 24 * 3_600;

/// The seconds for which the URL is to be valid, by the field `expires_in`.
pub fn validity_s<const N: usize>(fields: &mut JsonObject<N>) -> Result<u64, Problem> {
    let allowed = format!("a whole number of seconds from 1 to {MOST_S}");
    let seconds = fields.optional_integer("expires_in", &allowed)?;
    let seconds = seconds.unwrap_or(DEFAULT_S);
    if !(1..=MOST_S).contains(&seconds) {
        return Err(field_invalid("expires_in", &allowed).limit(MOST_S));
    }
    Ok(seconds)
}

/// The answer with a new URL. `expires_at_ms`: milliseconds since 1970.
pub fn created(id: FileId, method: &'static str, url: String, expires_at_ms: u64) -> Response {
    #[derive(Serialize)]
    struct Signed {
        id: FileId,
        method: &'static str,
        url: String,
        expires_at: u64,
    }
    let body = Signed {
        id,
        method,
        url,
        expires_at: expires_at_ms,
    };
    let mut response = response::json(StatusCode::CREATED, &body);
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}
