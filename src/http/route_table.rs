//! One table of methods, paths and handlers. Whether a path exists (404), which methods it takes
//! (405, Allow, HEAD) and the label of a request in log and metrics follow from it.

use std::pin::Pin;
use std::sync::Arc;

use http::header::ALLOW;
use http::{HeaderValue, Method};
use warp::reply::Response;

use crate::http::call::Call;
use crate::http::path_pattern::PathPattern;
use crate::http::refusal;
use crate::http::url_path::UrlPath;
use lakechat_core::domain::{Code, Problem};

type HandlerFuture = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// The routes of a listener, whose handlers work with a `C`. If two patterns match a path, the
/// first counts.
pub struct RouteTable<C>(Vec<Arc<Route<C>>>);

/// What one method of one path does.
pub struct Route<C> {
    method: Method,
    pattern: PathPattern,
    handler: Box<dyn Fn(Call<C>) -> HandlerFuture + Send + Sync>,
}

impl<C> RouteTable<C> {
    pub fn new(routes: impl IntoIterator<Item = Route<C>>) -> RouteTable<C> {
        RouteTable(routes.into_iter().map(Arc::new).collect())
    }

    /// The pattern of a path; None: not found.
    pub(super) fn find(&self, path: &UrlPath) -> Option<PathPattern> {
        let mut patterns = self.0.iter().map(|route| route.pattern);
        patterns.find(|pattern| pattern.matches(path))
    }

    /// The route of a method; 405 with Allow if the path does not take it.
    #[expect(
        clippy::result_large_err,
        reason = "it is written to the client as it is, and not passed up a chain"
    )]
    pub(super) fn route(
        &self,
        pattern: PathPattern,
        method: &Method,
    ) -> Result<Arc<Route<C>>, Response> {
        let mut routes = self.of(pattern);
        let found = routes.find(|route| route.method == *method);
        found.cloned().ok_or_else(|| self.not_allowed(pattern))
    }

    fn not_allowed(&self, pattern: PathPattern) -> Response {
        let methods: Vec<&str> = self
            .of(pattern)
            .map(|route| route.method.as_str())
            .collect();
        let methods = methods.join(", ");
        let text = format!("{pattern} allows {methods}.");
        let mut response = refusal::refused(Problem::new(Code::MethodNotAllowed, text));
        let allow = HeaderValue::from_str(&methods).expect("method names are header text");
        response.headers_mut().insert(ALLOW, allow);
        response
    }

    fn of(&self, pattern: PathPattern) -> impl Iterator<Item = &Arc<Route<C>>> {
        self.0.iter().filter(move |route| route.pattern == pattern)
    }
}

impl<C> Route<C> {
    /// HEAD is a method like any other: a path takes it if it has a route for it.
    pub fn new<F>(
        method: Method,
        pattern: &'static str,
        handler: impl Fn(Call<C>) -> F + Send + Sync + 'static,
    ) -> Route<C>
    where
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        Route {
            method,
            pattern: PathPattern::new(pattern),
            handler: Box::new(move |call| Box::pin(handler(call))),
        }
    }

    pub(super) fn pattern(&self) -> PathPattern {
        self.pattern
    }

    pub(super) fn handle(&self, call: Call<C>) -> HandlerFuture {
        (self.handler)(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn unreachable(_: Call<()>) -> Result<Response, Problem> {
        unreachable!("nothing is called")
    }

    fn table() -> RouteTable<()> {
        RouteTable::new([
            Route::new(Method::GET, "/channels", unreachable),
            Route::new(Method::POST, "/channels", unreachable),
            Route::new(Method::PUT, "/channels/<c>/members/<u>", unreachable),
        ])
    }

    #[test]
    fn a_path_is_found_by_its_pattern() {
        let find = |path| table().find(&UrlPath::parse(path)).map(PathPattern::as_str);
        assert_eq!(find("/channels"), Some("/channels"));
        let member = Some("/channels/<c>/members/<u>");
        assert_eq!(find("/channels/a%2Fb/members/ann"), member);
        assert_eq!(find("/channels/"), None);
    }

    #[test]
    fn a_method_that_a_path_lacks_is_refused_with_what_it_has() {
        let table = table();
        let pattern = table.find(&UrlPath::parse("/channels"));
        let pattern = pattern.expect("it is there");
        assert!(table.route(pattern, &Method::GET).is_ok());
        let refused = table.route(pattern, &Method::HEAD).err();
        let refused = refused.expect("not listed");
        assert_eq!(refused.status(), 405);
        assert_eq!(refused.headers()[ALLOW], "GET, POST");
    }
}
