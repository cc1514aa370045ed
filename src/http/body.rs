//! Request bodies: as a stream of chunks, or whole if they are small.

mod timed;

use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use tokio::time::timeout;
use warp::{Filter, Rejection};

use crate::http::min_rate::TooSlow;
use lakechat_core::domain::{Code, Problem};
use lakechat_core::json_object::JsonObject;

pub use timed::TimedBody;

/// How long a whole JSON body may take.
const WHOLE_BODY: Duration = Duration::from_secs(30);

/// Why a body was not read to its end. The connection is closed after the response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing arrived for too long.
    #[error("no byte of the body arrived within {0:?}")]
    Stalled(Duration),
    #[error("the body arrives too slowly: {0}")]
    TooSlow(#[from] TooSlow),
    /// Its framing is invalid, or the client left.
    #[error("the body broke off: {0}")]
    Broken(String),
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Problem {
        let problem = match &error {
            BodyError::Stalled(limit) => timed_out(*limit),
            BodyError::TooSlow(rate) => too_slow(rate),
            BodyError::Broken(_) => Problem::new(
                Code::BadRequest,
                "The body is not framed as its headers say, or ends early.",
            ),
        };
        problem.cause(error)
    }
}

/// A request's body as a stream of chunks of up to about 100 KiB. Each must arrive within the
/// server's `body_timeout`, and all of them at its minimum rate. Nothing is read ahead.
pub struct RequestBody(Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>);

impl RequestBody {
    pub fn new(
        chunks: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
    ) -> RequestBody {
        RequestBody(Box::pin(chunks))
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

/// Extracts the body of a request.
pub fn request_body() -> impl Filter<Extract = (RequestBody,), Error = Rejection> + Copy {
    warp::body::stream().map(|chunks| RequestBody::new(StreamExt::map(chunks, chunk)))
}

fn chunk(chunk: Result<impl Buf, warp::Error>) -> Result<Bytes, BodyError> {
    let mut data = chunk.map_err(|e| unwrap(&e))?;
    // No copy: warp's buffer is a `Bytes` already.
    Ok(data.copy_to_bytes(data.remaining()))
}

/// warp wraps the error of a `TimedBody`.
fn unwrap(error: &warp::Error) -> BodyError {
    let own = error.source().and_then(|e| e.downcast_ref::<BodyError>());
    own.cloned()
        .unwrap_or_else(|| BodyError::Broken(error.to_string()))
}

/// The whole JSON body of a request: at most `max_bytes`, within 30 s.
pub async fn read_limited(
    headers: &HeaderMap,
    body: &mut RequestBody,
    max_bytes: usize,
) -> Result<Bytes, Problem> {
    read_within(headers, body, max_bytes, WHOLE_BODY).await
}

async fn read_within(
    headers: &HeaderMap,
    body: &mut RequestBody,
    max_bytes: usize,
    limit: Duration,
) -> Result<Bytes, Problem> {
    check_headers(headers, max_bytes)?;
    let whole = timeout(limit, collect(body, max_bytes));
    whole.await.unwrap_or_else(|_| Err(timed_out(limit)))
}

/// The fields of these names; `bad_json` unless the body is one JSON object.
pub fn json_object<'a, const N: usize>(
    body: &'a [u8],
    names: &'static [&'static str; N],
) -> Result<JsonObject<'a, N>, Problem> {
    JsonObject::from_slice(body, names).map_err(|e| {
        let text = format!("The body must be one JSON object: {e}.");
        Problem::new(Code::BadJson, text)
    })
}

fn check_headers(headers: &HeaderMap, max_bytes: usize) -> Result<(), Problem> {
    if !is_json(headers) {
        let text = "This call requires a body of Content-Type application/json.";
        return Err(Problem::new(Code::MediaTypeUnsupported, text));
    }
    require_length(headers)?;
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|l| l > max_bytes as u64) {
        return Err(too_large(max_bytes));
    }
    Ok(())
}

/// `length_required` if a request has no body at all, not even an empty one.
pub fn require_length(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let text = "This call requires a body: send its Content-Length, or send it chunked.";
    Err(Problem::new(Code::LengthRequired, text))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let kind = value.and_then(|v| v.split(';').next()).unwrap_or("");
    kind.trim().eq_ignore_ascii_case("application/json")
}

async fn collect(body: &mut RequestBody, max_bytes: usize) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        if whole.len() + chunk.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

fn too_large(max_bytes: usize) -> Problem {
    let text = format!("The body is too large; the limit is {max_bytes} bytes.");
    Problem::new(Code::BodyTooLarge, text).limit(max_bytes as u64)
}

fn timed_out(limit: Duration) -> Problem {
    let text = format!("The body did not arrive within {limit:?}.");
    Problem::new(Code::RequestTimeout, text)
}

fn too_slow(rate: &TooSlow) -> Problem {
    let TooSlow {
        bytes_per_second,
        window,
    } = rate;
    let text = format!(
        "The body arrives too slowly. Send at least {bytes_per_second} bytes per second (average \
         over {window:?} of waiting)."
    );
    Problem::new(Code::RequestTimeout, text).limit(*bytes_per_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn headers(kind: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        headers.insert(TRANSFER_ENCODING, "chunked".parse().unwrap());
        headers
    }

    fn chunks(chunks: &[&'static str]) -> RequestBody {
        let chunks: Vec<_> = chunks.iter().map(|c| Ok(Bytes::from(*c))).collect();
        RequestBody::new(stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_json_body_is_read_up_to_its_limit() {
        let json = headers("Application/JSON; charset=utf-8");
        let whole = read_limited(&json, &mut chunks(&["ab", "cd"]), 4).await;
        assert_eq!(whole.unwrap(), "abcd");
        let problem = read_limited(&json, &mut chunks(&["ab", "cde"]), 4).await;
        let problem = problem.expect_err("five bytes");
        assert_eq!((problem.code, problem.limit), (Code::BodyTooLarge, Some(4)));
    }

    #[tokio::test]
    async fn a_body_that_is_announced_wrongly_is_not_read() {
        let text = read_limited(&headers("text/plain"), &mut chunks(&["{}"]), 4).await;
        assert_eq!(text.unwrap_err().code, Code::MediaTypeUnsupported);
        let mut long = headers("application/json");
        long.insert(CONTENT_LENGTH, 5.into());
        let long = read_limited(&long, &mut chunks(&[]), 4).await;
        assert_eq!(long.unwrap_err().code, Code::BodyTooLarge);
        let mut none = headers("application/json");
        none.remove(TRANSFER_ENCODING);
        let none = read_limited(&none, &mut chunks(&[]), 4).await;
        assert_eq!(none.unwrap_err().code, Code::LengthRequired);
    }

    #[tokio::test]
    async fn a_body_that_drips_is_given_up() {
        let mut endless = RequestBody::new(stream::pending());
        let limit = Duration::from_millis(10);
        let slow = read_within(&headers("application/json"), &mut endless, 4, limit).await;
        assert_eq!(slow.unwrap_err().code, Code::RequestTimeout);
    }
}
