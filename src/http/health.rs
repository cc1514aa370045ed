//! `/healthz` (the process is alive) and `/readyz` (it can serve, and if not, why).

use std::collections::BTreeMap;
use std::future;

use http::{Method, StatusCode};
use warp::reply::Response;

use crate::http::call::Call;
use crate::http::response;
use crate::http::route_table::Route;
use crate::readiness::Readiness;
use lakechat_core::domain::Problem;

pub fn routes(readiness: Readiness) -> [Route<()>; 4] {
    let readyz = move |_| future::ready(Ok(readyz(&readiness)));
    [
        Route::new(Method::GET, "/healthz", healthz),
        Route::new(Method::HEAD, "/healthz", healthz),
        Route::new(Method::GET, "/readyz", readyz.clone()),
        Route::new(Method::HEAD, "/readyz", readyz),
    ]
}

async fn healthz(_: Call<()>) -> Result<Response, Problem> {
    let body = BTreeMap::from([("status", "ok")]);
    Ok(response::json(StatusCode::OK, &body))
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
