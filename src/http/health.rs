//! `/healthz` (the process lives) and `/readyz` (it can do its work, and if not, why).

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use warp::reply::Response;
use warp::{Filter, Rejection};

use crate::http::response;
use crate::http::route_table::Route;
use crate::readiness::Readiness;

pub const ROUTES: [Route; 2] = [
    Route {
        pattern: "/healthz",
        methods: &[Method::GET, Method::HEAD],
    },
    Route {
        pattern: "/readyz",
        methods: &[Method::GET, Method::HEAD],
    },
];

/// Answers what `ROUTES` lists.
pub fn routes(
    readiness: Readiness,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let get_or_head = || warp::get().or(warp::head()).unify();
    let healthz = warp::path!("healthz").and(get_or_head()).map(healthz);
    let readyz = warp::path!("readyz")
        .and(get_or_head())
        .map(move || readyz(&readiness));
    healthz.or(readyz).unify()
}

fn healthz() -> Response {
    response::json(StatusCode::OK, &BTreeMap::from([("status", "ok")]))
}

fn readyz(readiness: &Readiness) -> Response {
    let report = readiness.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    response::json(status, &report)
}
