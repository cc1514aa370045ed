//! Bodies for what hyper refuses by itself.
//!
//! hyper answers a request that it can't parse, or whose headers are too large, without asking the
//! guard, and without a body. As long as no request of a connection has reached the guard, whatever
//! hyper writes is such a refusal. The socket then writes it with a body.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::http::request::RequestId;
use crate::http::response;
use lakechat_core::domain::{Code, Problem};

/// Whether a request of a connection has reached the guard.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestSeen(Arc<AtomicBool>);

impl RequestSeen {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What to write in place of hyper's refusal; the same if it isn't one that is known here.
pub(super) fn complete(head: &[u8]) -> Bytes {
    let with_body = std::str::from_utf8(head).ok().and_then(with_body);
    with_body.map_or_else(|| Bytes::copy_from_slice(head), Bytes::from)
}

fn with_body(head: &str) -> Option<String> {
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?;
    let (before, after) = head.split_once("content-length: 0\r\n")?;
    if !after.ends_with("\r\n\r\n") && after != "\r\n" {
        return None;
    }
    let problem = match status {
        "400" => Problem::new(Code::BadRequest, "This is not a valid HTTP/1.1 request."),
        "414" | "431" => {
            let text = "A request has at most 16 KiB of request line and headers, and 100 headers.";
            Problem::new(Code::HeadersTooLarge, text)
        }
        _ => return None,
    };
    let id = RequestId::mint();
    let code = problem.code.as_str();
    tracing::debug!(request.id = %id, code, "request refused by the HTTP parser");
    let body = response::problem_text(&problem, &id.to_string());
    let length = body.len();
    Some(format!(
        "{before}content-type: application/json\r\ncontent-length: {length}\r\n\
         x-request-id: {id}\r\n{after}{body}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_get_a_body_and_all_else_stays() {
        let head = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
                    content-length: 0\r\ndate: Sat, 28 Nov 2026 11:00:00 GMT\r\n\r\n";
        let text = String::from_utf8(complete(head.as_bytes()).to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{head}"
        );
        assert!(head.contains("\r\ndate: Sat, 28 Nov"), "{head}");
        assert!(body.contains("\"headers_too_large\""), "{body}");
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 10\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "nonsense",
        ] {
            assert_eq!(complete(other.as_bytes()), other);
        }
    }
}
