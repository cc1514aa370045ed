//! Between hyper and warp: gives each request an id, one response in our format, one line in the
//! access log, and logs the cause of a failure.

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::header::CONNECTION;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tracing::Instrument;
use warp::reply::Response;

use crate::http::access_log::{LoggedBody, RequestRecord};
use crate::http::address_slots::{AddressSlot, AddressSlots};
use crate::http::allowed_hosts::AllowedHosts;
use crate::http::body::TimedBody;
use crate::http::client_addr::TrustedProxies;
use crate::http::connection::FullyRead;
use crate::http::framing;
use crate::http::host;
use crate::http::min_rate::MinRate;
use crate::http::parser_refusal::RequestSeen;
use crate::http::refusal::{self, Refusal};
use crate::http::request::{ClientAddr, RequestId};
use crate::http::response;
use crate::http::router::{Endpoint, Router};
use crate::shutdown::Shutdown;
use lakechat_core::domain::{CauseChain, Code, Problem};

/// The label of a path that no table has: one for all, or a scanner would make thousands.
const UNKNOWN_ROUTE: &str = "unknown";

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The service of one connection.
pub(super) struct Guard<C> {
    pub(super) router: Router<C>,
    pub(super) proxies: Arc<TrustedProxies>,
    pub(super) hosts: Arc<AllowedHosts>,
    pub(super) peer: IpAddr,
    /// Requests in progress of the clients behind proxies.
    pub(super) clients: AddressSlots,
    pub(super) fully_read: FullyRead,
    pub(super) seen: RequestSeen,
    pub(super) body_timeout: Duration,
    pub(super) body_rate: MinRate,
    pub(super) shutdown: Shutdown,
}

impl<C> Clone for Guard<C> {
    fn clone(&self) -> Guard<C> {
        Guard {
            router: self.router.clone(),
            proxies: Arc::clone(&self.proxies),
            hosts: Arc::clone(&self.hosts),
            peer: self.peer,
            clients: self.clients.clone(),
            fully_read: self.fully_read.clone(),
            seen: self.seen.clone(),
            body_timeout: self.body_timeout,
            body_rate: self.body_rate.clone(),
            shutdown: self.shutdown.clone(),
        }
    }
}

impl<C: Send + Sync + 'static> hyper::service::Service<Request<Incoming>> for Guard<C> {
    type Response = http::Response<LoggedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.seen.set();
        Box::pin(self.clone().respond(request).map(Ok))
    }
}

impl<C: Send + Sync + 'static> Guard<C> {
    async fn respond(self, request: Request<Incoming>) -> http::Response<LoggedBody> {
        let endpoint = self.router.find(request.uri().path());
        let id = RequestId::mint();
        let client = ClientAddr(self.proxies.client(self.peer, request.headers()));
        let route = endpoint
            .as_ref()
            .map_or(UNKNOWN_ROUTE, |e| e.pattern.as_str());
        let mut record = RequestRecord::begin(request.method().clone(), route, id, client);
        let admitted = self.admit(client.0).map(|slot| record.slot = slot);

        let (timeout, rate) = (self.body_timeout, self.body_rate.clone());
        let mut request = request.map(|body| TimedBody::new(body, timeout, rate));
        let body_ended = request.body().ended();
        let extensions = request.extensions_mut();
        extensions.insert(id);
        extensions.insert(client);
        extensions.insert(record.caller.clone());

        let handled = async {
            match admitted {
                Ok(()) => self.handle(endpoint, request).await,
                Err(problem) => refusal::refused(problem),
            }
        };
        let handled = record.caller.known.clone().scope(handled);
        let mut response = handled.instrument(record.span.clone()).await;
        response = write_refusal(response, id);
        self.fully_read.set(body_ended.is_reached());
        if !body_ended.is_reached() || self.shutdown.is_draining() {
            close_after(&mut response);
        }
        let id = HeaderValue::from_str(&id.to_string()).expect("a uuid is header text");
        response.headers_mut().insert(X_REQUEST_ID, id);
        let status = response.status();
        response.map(|body| record.into_body(status, body))
    }

    /// A slot for a request of a client behind a proxy. A client that connects itself has as many
    /// requests as connections, which have slots of their own.
    fn admit(&self, client: IpAddr) -> Result<Option<AddressSlot>, Problem> {
        if client == self.peer.to_canonical() {
            return Ok(None);
        }
        let slot = self.clients.take(client);
        slot.map(Some).ok_or_else(|| {
            metrics::counter!("lakechat_client_requests_refused_total").increment(1);
            let text = "Too many requests from your address are in progress.";
            Problem::new(Code::RateLimited, text).retry_after_ms(1_000)
        })
    }

    async fn handle(&self, endpoint: Option<Endpoint>, request: Request<TimedBody>) -> Response {
        let (mut parts, body) = request.into_parts();
        let checked = host::normalize(&mut parts).and_then(|()| framing::check(&parts.headers));
        if let Err(problem) = checked {
            let mut response = refusal::refused(problem);
            response.headers_mut().insert(CONNECTION, close());
            return response;
        }
        // Load balancers and monitoring call the probes by any name.
        if !endpoint.as_ref().is_some_and(|endpoint| endpoint.is_probe)
            && let Err(problem) = self.hosts.check(&parts.headers)
        {
            return refusal::refused(problem);
        }
        // The endpoint was found by the target as it came; an absolute one has the same path.
        let Some(endpoint) = endpoint else {
            return refusal::refused(refusal::not_found());
        };
        if !body.is_end_stream() {
            // After a body it would be ambiguous where the other protocol begins.
            parts.extensions.remove::<OnUpgrade>();
        }
        let request = Request::from_parts(parts, body);
        let is_draining = self.shutdown.is_draining();
        let handling = match self.router.serve(endpoint, request, is_draining) {
            Ok(handling) => handling,
            Err(refused) => return refused,
        };
        // The panic hook has logged it. The connection goes on with its next request.
        let response = AssertUnwindSafe(handling).catch_unwind().await;
        response.unwrap_or_else(|_| refusal::refused(Problem::internal("the handler panicked")))
    }
}

/// Writes the body of a response that carries a refusal, and logs the refusal.
fn write_refusal(mut carrier: Response, id: RequestId) -> Response {
    let Some(Refusal(problem)) = carrier.extensions_mut().remove() else {
        return carrier;
    };
    log(&problem, id);
    let mut written = response::problem(&problem, &id.to_string());
    // A protocol may have a status of its own for a code.
    *written.status_mut() = carrier.status();
    written.headers_mut().extend(carrier.headers_mut().drain());
    written
}

/// Closes the connection after a response: the rest of a body would be parsed as the next request,
/// and during a drain there must not be one.
fn close_after(response: &mut Response) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, close());
    }
}

fn close() -> HeaderValue {
    HeaderValue::from_static("close")
}

fn log(problem: &Problem, id: RequestId) {
    let (code, cause) = (problem.code.as_str(), CauseChain(problem));
    match response::status(problem.code) {
        StatusCode::INTERNAL_SERVER_ERROR => {
            tracing::error!(request.id = %id, code, "request failed: {cause}");
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            tracing::warn!(request.id = %id, code, "request not served: {cause}");
        }
        _ => tracing::debug!(request.id = %id, code, "request refused: {cause}"),
    }
}
