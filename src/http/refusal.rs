//! The way of a problem from where it is found to the guard, which logs it and writes its body, once.

use std::convert::Infallible;
use std::sync::Arc;

use warp::Rejection;
use warp::reply::Response;

use crate::http::response;
use lakechat_core::domain::{Code, Problem};

/// The problem of a response that has no body yet, in its extensions.
#[derive(Clone, Debug)]
pub(super) struct Refusal(pub(super) Arc<Problem>);

pub(super) fn refused(problem: Problem) -> Response {
    let mut carrier = response::empty(response::status(problem.code));
    carrier.extensions_mut().insert(Refusal(Arc::new(problem)));
    carrier
}

/// Our filters reject only requests without the guard's extensions, which is a bug of ours.
pub(super) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let text = format!("warp rejected a request: {rejection:?}");
    Ok(refused(Problem::internal(text)))
}

pub(super) fn not_found() -> Problem {
    Problem::new(Code::NotFound, "There is no such path.")
}

#[cfg(test)]
mod tests {
    use http::Request;
    use hyper_util::service::TowerToHyperService;
    use warp::Filter;

    use super::*;

    #[tokio::test]
    async fn what_warp_rejects_is_an_internal_error() {
        let extension = warp::ext::get().map(|n: u32| n.to_string());
        let service = TowerToHyperService::new(warp::service(extension.recover(recover)));
        let response = hyper::service::Service::call(&service, Request::new(String::new())).await;
        let Ok(response) = response;
        assert_eq!(response.status(), 500);
        let refusal = response.extensions().get::<Refusal>();
        assert_eq!(refusal.map(|r| r.0.code), Some(Code::Internal));
    }
}
