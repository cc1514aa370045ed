//! `/metrics`, in Prometheus' text format.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use warp::reply::Response;
use warp::{Filter, Rejection};

use crate::http::answer;
use crate::http::guard::Site;
use crate::http::route_table::{Route, RouteTable};

pub const ROUTES: [Route; 1] = [Route {
    pattern: "/metrics",
    methods: &[Method::GET],
}];

/// Answers what `ROUTES` lists.
pub fn routes(
    recorder: PrometheusHandle,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    warp::path!("metrics")
        .and(warp::get())
        .map(move || render(&recorder))
}

/// A listener of its own for the metrics, and nothing else.
pub fn site(recorder: PrometheusHandle) -> Site {
    Site::new(RouteTable::new(&ROUTES), routes(recorder))
}

fn render(recorder: &PrometheusHandle) -> Response {
    let mut answer = answer::empty(StatusCode::OK);
    *answer.body_mut() = recorder.render().into();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
