//! Large JSON responses, which take up memory for as long as their clients read.

use std::convert::Infallible;
use std::task::Poll;

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use warp::Reply;
use warp::reply::Response;

/// The chunks in which hyper gets the body. It takes a chunk when it has room for it, so it has
/// asked for the last one when the client has read nearly everything.
const CHUNK_BYTES: usize = 64 * 1024;

/// A JSON response that keeps `slot` until hyper has taken the whole body.
pub fn json_with_slot(body: &impl Serialize, slot: impl Send + Sync + 'static) -> Response {
    let text = serde_json::to_vec(body).expect("our responses have string keys and finite numbers");
    let mut left = Bytes::from(text);
    let length = left.len();
    let chunks = stream::poll_fn(move |_| {
        let _held_by_the_stream = &slot;
        let chunk = left.split_to(left.len().min(CHUNK_BYTES));
        Poll::Ready((!chunk.is_empty()).then_some(Ok::<_, Infallible>(chunk)))
    });
    let mut response = warp::reply::stream(chunks).into_response();
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, length.into());
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_slot_is_held_until_the_last_chunk_was_taken() {
        let (slot, text) = (Arc::new(()), "x".repeat(2 * CHUNK_BYTES));
        let response = json_with_slot(&text, slot.clone());
        let length = (text.len() + 2).to_string();
        assert_eq!(response.headers()[CONTENT_LENGTH], length);
        let mut body = response.into_body();
        let mut taken = Vec::new();
        for _ in 0..3 {
            let frame = body.frame().await.expect("a chunk").expect("no failure");
            taken.extend(frame.into_data().expect("bytes"));
            assert_eq!(Arc::strong_count(&slot), 2);
        }
        assert_eq!(taken, serde_json::to_vec(&text).expect("JSON"));
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(Arc::strong_count(&slot), 1);
    }
}
