//! One log line and one count for each request, when its response was sent or given up.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tracing::Span;
use tracing::field::Empty;

use crate::http::address_slots::AddressSlot;
use crate::http::request::{Caller, ClientAddr, RequestId};
use crate::http::response::ResponseBody;

/// A request in progress. Dropping it writes the log line and counts the request.
#[derive(Debug)]
pub struct RequestRecord {
    pub id: RequestId,
    pub client: ClientAddr,
    pub caller: Caller,
    /// Carries the request's fields to the log lines of its handler and its body.
    pub span: Span,
    /// Held until the response was sent.
    pub slot: Option<AddressSlot>,
    method: Method,
    /// The pattern: the path itself may be private, and is no label from a closed set.
    route: &'static str,
    began: Instant,
    /// None until there is a response. It stays None if the connection was cut before.
    status: Option<StatusCode>,
    sent_bytes: u64,
    /// The response ended before its body did: the client hung up, or the body failed.
    is_cut: bool,
    /// Bytes of the whole body, if known.
    length: Option<u64>,
}

impl RequestRecord {
    pub fn begin(
        method: Method,
        route: &'static str,
        id: RequestId,
        client: ClientAddr,
    ) -> RequestRecord {
        metrics::gauge!("lakechat_http_requests_under_way").increment(1);
        let span = tracing::info_span!(
            "request",
            request.id = %id,
            method = method_label(&method),
            route,
            client = %client.0,
            user = Empty,
        );
        RequestRecord {
            id,
            client,
            caller: Caller::new(span.clone()),
            span,
            slot: None,
            method,
            route,
            began: Instant::now(),
            status: None,
            sent_bytes: 0,
            is_cut: false,
            length: None,
        }
    }

    /// The response's body, which keeps the record until it was sent.
    pub fn into_body(mut self, status: StatusCode, body: ResponseBody) -> LoggedBody {
        self.status = Some(status);
        self.length = body.size_hint().exact();
        self.is_cut = self.method != Method::HEAD && !body.is_end_stream();
        LoggedBody { body, record: self }
    }

    fn outcome(&self) -> &str {
        self.status.as_ref().map_or("unanswered", |s| s.as_str())
    }

    fn count(&self) {
        let labels = [
            ("method", method_label(&self.method).to_owned()),
            ("route", self.route.to_owned()),
            ("status", self.outcome().to_owned()),
        ];
        metrics::gauge!("lakechat_http_requests_under_way").decrement(1);
        metrics::counter!("lakechat_http_requests_total", &labels).increment(1);
        metrics::histogram!("lakechat_http_request_seconds", &labels).record(self.began.elapsed());
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        self.count();
        let (method, route, outcome) = (method_label(&self.method), self.route, self.outcome());
        tracing::info!(
            request.id = %self.id,
            method,
            route,
            status = outcome,
            duration_ms = self.began.elapsed().as_millis() as u64,
            size_bytes = self.sent_bytes,
            client = %self.client.0,
            user = self.caller.user().map(|u| u.as_str()),
            cut = self.is_cut,
            "{method} {route} {outcome}"
        );
    }
}

/// Clients may invent methods. A label comes from a closed set.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::HEAD,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
    ];
    const LABELS: [&str; 7] = ["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"];
    let at = KNOWN.iter().position(|known| known == method);
    at.map_or("other", |at| LABELS[at])
}

/// A response's body that counts the bytes sent.
#[derive(Debug)]
pub struct LoggedBody {
    body: ResponseBody,
    record: RequestRecord,
}

impl Body for LoggedBody {
    type Data = Bytes;
    type Error = warp::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, warp::Error>>> {
        let this = &mut *self;
        let body = Pin::new(&mut this.body);
        let polled = this.record.span.in_scope(|| body.poll_frame(cx));
        if let Poll::Ready(frame) = &polled {
            let data = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref());
            this.record.sent_bytes += data.map_or(0, |d| d.remaining() as u64);
            this.record.is_cut = match frame {
                None => false,
                // hyper does not poll beyond the length that it was given, so the last frame
                // may be the last poll.
                Some(Ok(_)) => {
                    !this.body.is_end_stream() && this.record.length != Some(this.record.sent_bytes)
                }
                Some(Err(e)) => {
                    tracing::warn!(request.id = %this.record.id, error = %e, "the response broke off");
                    true
                }
            };
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
