//! `/metrics` in Prometheus' text format.

use std::future;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use warp::reply::Response;

use crate::http::response;
use crate::http::route_table::Route;

pub fn route(recorder: PrometheusHandle) -> Route<()> {
    let metrics = move |_| future::ready(Ok(render(&recorder)));
    Route::new(Method::GET, "/metrics", metrics)
}

fn render(recorder: &PrometheusHandle) -> Response {
    let mut rendered = response::empty(StatusCode::OK);
    *rendered.body_mut() = recorder.render().into();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    rendered.headers_mut().insert(CONTENT_TYPE, kind);
    rendered
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[tokio::test]
    async fn counters_are_rendered_as_prometheus_reads_them() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::counter!("lakechat_uploads_total").increment(3);
        });
        let answer = render(&recorder.handle());
        assert_eq!(
            answer.headers()[CONTENT_TYPE],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let body = http_body_util::BodyExt::collect(answer.into_body()).await;
        let body = body.expect("it is in memory").to_bytes();
        assert!(body.ends_with(b"lakechat_uploads_total 3\n\n"), "{body:?}");
    }
}
