//! The paths of a listener, and when each of them is answered.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use http::Request;
use hyper_util::service::TowerToHyperService;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use crate::http::body::Watched;
use crate::http::refusal;
use crate::http::route_table::{Route, RouteTable};
use lakechat_core::domain::{Code, Problem};

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
type Handle = Arc<dyn Fn(Request<Watched>) -> Answering + Send + Sync>;

/// The paths of a listener and what they do. Cheap to clone; clones are one site.
///
/// Its probes tell how the server does, so they are answered from first to last. The service is
/// answered from when it is opened until the drain, and refused with 503 before and after.
#[derive(Clone)]
pub struct Site {
    probes: RouteTable,
    probing: Handle,
    service: RouteTable,
    serving: Arc<OnceLock<Handle>>,
}

/// A path of a site.
#[derive(Clone, Copy)]
pub(super) struct Page {
    pub(super) route: &'static Route,
    is_probe: bool,
}

impl Site {
    /// A site whose service is still to be opened. `probing` answers what `probes` lists.
    pub fn new<F>(probes: RouteTable, probing: F, service: RouteTable) -> Site
    where
        F: Filter<Error = Rejection> + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        Site {
            probes,
            probing: handle(probing),
            service,
            serving: Arc::default(),
        }
    }

    /// Opens the service: `routes` answers what its table lists. It may reject, also with
    /// `refusal::reject`. Once open it stays so.
    pub fn open<F>(&self, routes: F)
    where
        F: Filter<Error = Rejection> + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        self.serving.get_or_init(|| handle(routes));
    }

    pub(super) fn find(&self, path: &str) -> Option<Page> {
        let page = |is_probe| move |route| Page { route, is_probe };
        let probe = self.probes.find(path).map(page(true));
        probe.or_else(|| self.service.find(path).map(page(false)))
    }

    /// Begins to answer a request to one of the site's pages.
    pub(super) fn answer(
        &self,
        page: Page,
        request: Request<Watched>,
        is_draining: bool,
    ) -> Result<Answering, Problem> {
        if page.is_probe {
            return Ok((self.probing)(request));
        }
        if is_draining {
            let text = "This server shuts down; come back for another.";
            return Err(Problem::new(Code::ShuttingDown, text).retry_after_ms(1_000));
        }
        let serve = self.serving.get().ok_or_else(starting)?;
        Ok(serve(request))
    }
}

/// Until the log is read up to its end nothing can be decided.
fn starting() -> Problem {
    let text = "This server starts and still reads its log; try again.";
    Problem::new(Code::BrokerUnavailable, text).retry_after_ms(1_000)
}

fn handle<F>(routes: F) -> Handle
where
    F: Filter<Error = Rejection> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let service = TowerToHyperService::new(warp::service(routes.recover(refusal::recover)));
    Arc::new(move |request| {
        let answer = hyper::service::Service::call(&service, request);
        Box::pin(answer.map(|answer| match answer {
            Ok(answer) => answer,
        }))
    })
}
