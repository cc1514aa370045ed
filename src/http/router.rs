//! The routes of a listener, and when each of them is served.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use http::Request;
use hyper_util::service::TowerToHyperService;
use warp::Filter;
use warp::reply::Response;

use crate::http::body::TimedBody;
use crate::http::call::{Call, CallRequest, call_request};
use crate::http::path_pattern::PathPattern;
use crate::http::refusal;
use crate::http::route_table::{Route, RouteTable};
use crate::http::url_path::UrlPath;
use lakechat_core::domain::{Code, Problem};

type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A warp service that finds the route of a request in its extensions.
type WarpService = Box<dyn Fn(Request<TimedBody>) -> ResponseFuture + Send + Sync>;

/// The routes of a listener. Clones share their state.
///
/// Probes report how the server is doing, so they are served from the start to the end. The service
/// works with a `C`: it is served from when it is opened until the drain, and refused with 503
/// before and after.
pub struct Router<C>(Arc<Shared<C>>);

struct Shared<C> {
    probes: RouteTable<()>,
    probe: WarpService,
    service: RouteTable<C>,
    serve: WarpService,
    context: OnceLock<Arc<C>>,
}

/// A path that a listener has.
pub(super) struct Endpoint {
    pub(super) pattern: PathPattern,
    path: UrlPath,
    pub(super) is_probe: bool,
}

/// The route of a request, on its way through warp.
struct Dispatch<C> {
    route: Arc<Route<C>>,
    context: Arc<C>,
    path: UrlPath,
}

impl<C> Clone for Router<C> {
    fn clone(&self) -> Router<C> {
        Router(Arc::clone(&self.0))
    }
}

impl<C: Send + Sync + 'static> Router<C> {
    /// A router whose service is still to be opened.
    pub fn new(probes: RouteTable<()>, service: RouteTable<C>) -> Router<C> {
        Router(Arc::new(Shared {
            probes,
            probe: warp_service::<()>(),
            service,
            serve: warp_service::<C>(),
            context: OnceLock::new(),
        }))
    }

    /// Opens the service, for good. A second call does nothing.
    pub fn open(&self, context: Arc<C>) {
        self.0.context.get_or_init(|| context);
    }

    pub(super) fn find(&self, path: &str) -> Option<Endpoint> {
        let path = UrlPath::parse(path);
        let probe = self.0.probes.find(&path).map(|pattern| (pattern, true));
        let service = || self.0.service.find(&path).map(|pattern| (pattern, false));
        let (pattern, is_probe) = probe.or_else(service)?;
        Some(Endpoint {
            pattern,
            path,
            is_probe,
        })
    }

    /// Starts to serve a request, or refuses it.
    #[expect(
        clippy::result_large_err,
        reason = "it is written to the client as it is, and not passed up a chain"
    )]
    pub(super) fn serve(
        &self,
        endpoint: Endpoint,
        request: Request<TimedBody>,
        is_draining: bool,
    ) -> Result<ResponseFuture, Response> {
        let Shared {
            probes,
            probe,
            service,
            serve,
            context,
        } = &*self.0;
        if endpoint.is_probe {
            let route = probes.route(endpoint.pattern, request.method())?;
            let dispatch = Dispatch {
                route,
                context: Arc::new(()),
                path: endpoint.path,
            };
            return Ok(probe(dispatched(request, dispatch)));
        }
        let route = service.route(endpoint.pattern, request.method())?;
        if is_draining {
            return Err(refusal::refused(shutting_down()));
        }
        let context = context.get().cloned();
        let context = context.ok_or_else(|| refusal::refused(starting()))?;
        let dispatch = Dispatch {
            route,
            context,
            path: endpoint.path,
        };
        Ok(serve(dispatched(request, dispatch)))
    }
}

fn dispatched<C: Send + Sync + 'static>(
    mut request: Request<TimedBody>,
    dispatch: Dispatch<C>,
) -> Request<TimedBody> {
    request.extensions_mut().insert(Arc::new(dispatch));
    request
}

fn warp_service<C: Send + Sync + 'static>() -> WarpService {
    let filter = warp::any()
        .and(warp::ext::get::<Arc<Dispatch<C>>>())
        .and(call_request())
        .then(handle::<C>)
        .recover(refusal::recover);
    let service = TowerToHyperService::new(warp::service(filter));
    Box::new(move |request| {
        let response = hyper::service::Service::call(&service, request);
        Box::pin(response.map(|response| match response {
            Ok(response) => response,
        }))
    })
}

async fn handle<C>(dispatch: Arc<Dispatch<C>>, request: CallRequest) -> Response {
    let route = Arc::clone(&dispatch.route);
    let (context, path) = (Arc::clone(&dispatch.context), dispatch.path.clone());
    drop(dispatch);
    let call = Call::new(context, route.pattern(), path, request);
    route.handle(call).await.unwrap_or_else(refusal::refused)
}

fn shutting_down() -> Problem {
    let text = "This server is shutting down; reconnect to reach another one.";
    Problem::new(Code::ShuttingDown, text).retry_after_ms(1_000)
}

/// Verdicts depend on the whole log, so nothing can be served until it was read to its end.
fn starting() -> Problem {
    let text = "This server is still starting (reading its log); try again.";
    Problem::new(Code::BrokerUnavailable, text).retry_after_ms(1_000)
}
