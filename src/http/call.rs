//! One request as its handler sees it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method};
use hyper::upgrade::OnUpgrade;
use warp::{Filter, Rejection};

use crate::http::bearer::bearer;
use crate::http::body::{RequestBody, read_limited, request_body};
use crate::http::context::ServiceContext;
use crate::http::path_pattern::PathPattern;
use crate::http::query::Query;
use crate::http::request::{Caller, ClientAddr, RequestId};
use crate::http::url_path::UrlPath;
use lakechat_core::accounts::Identity;
use lakechat_core::domain::{Problem, UserName};
use lakechat_core::limits::RequestKind;

/// The largest JSON body, bytes.
const MAX_JSON_BYTES: usize = 64 * 1024;

/// A request, and what its handler works with.
pub struct Call<C = ServiceContext> {
    pub context: Arc<C>,
    pub request: CallRequest,
    pattern: PathPattern,
    path: UrlPath,
}

/// A request as the warp filters take it apart.
pub struct CallRequest {
    pub id: RequestId,
    pub method: Method,
    pub headers: HeaderMap,
    pub client: ClientAddr,
    query: Option<String>,
    caller: Caller,
    upgrade: Option<OnUpgrade>,
    /// Never locked. The mutex makes a call `Sync`, so that its methods can await.
    body: Mutex<RequestBody>,
}

/// Takes a request apart. It rejects only requests that did not pass the guard.
pub(super) fn call_request() -> impl Filter<Extract = (CallRequest,), Error = Rejection> + Clone {
    let query = warp::query::raw()
        .map(Some)
        .or(warp::any().map(|| None))
        .unify();
    let guarded = warp::ext::get::<RequestId>()
        .and(warp::ext::get::<ClientAddr>())
        .and(warp::ext::get::<Caller>());
    warp::any()
        .and(guarded)
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(request_body())
        .map(
            |id, client, caller, method, query, headers, upgrade, body| CallRequest {
                id,
                method,
                headers,
                client,
                query,
                caller,
                upgrade,
                body: Mutex::new(body),
            },
        )
}

impl<C> Call<C> {
    pub(super) fn new(
        context: Arc<C>,
        pattern: PathPattern,
        path: UrlPath,
        request: CallRequest,
    ) -> Call<C> {
        Call {
            context,
            request,
            pattern,
            path,
        }
    }

    /// The path's segment in the place of `<name>`, percent-decoded.
    pub fn param(&self, name: &str) -> &str {
        let param = self.pattern.param(&self.path, name);
        param.expect("handlers ask for parameters of their route")
    }

    /// Whoever made the request, for the access log.
    pub fn caller(&self) -> &Caller {
        &self.request.caller
    }

    /// The parameters of the URL. Call `finish` on them, which refuses unknown ones.
    pub fn query(&self) -> Result<Query, Problem> {
        Query::parse(self.request.query.as_deref())
    }

    /// Refuses every parameter.
    pub fn no_query(&self) -> Result<(), Problem> {
        self.query()?.finish()
    }

    /// The bytes of a JSON body.
    pub async fn json(&mut self) -> Result<Bytes, Problem> {
        let body = self.request.body.get_mut();
        let body = body.unwrap_or_else(PoisonError::into_inner);
        read_limited(&self.request.headers, body, MAX_JSON_BYTES).await
    }

    /// The same for a body that may be left out.
    pub async fn optional_json(&mut self) -> Result<Option<Bytes>, Problem> {
        let headers = &self.request.headers;
        let is_empty = headers
            .get(CONTENT_LENGTH)
            .is_none_or(|length| length == "0")
            && !headers.contains_key(TRANSFER_ENCODING);
        if is_empty {
            Ok(None)
        } else {
            self.json().await.map(Some)
        }
    }

    pub fn into_headers_and_body(self) -> (HeaderMap, RequestBody) {
        let body = self.request.body.into_inner();
        let body = body.unwrap_or_else(PoisonError::into_inner);
        (self.request.headers, body)
    }

    /// The connection behind the response, if the client asked for an upgrade.
    pub fn take_upgrade(&mut self) -> Option<OnUpgrade> {
        self.request.upgrade.take()
    }
}

impl Call {
    /// The caller, by the access token. Counts the call against the caller's limit of requests.
    pub async fn identity(&self) -> Result<Identity, Problem> {
        self.identity_for(RequestKind::Call).await
    }

    /// The same for a request that may weigh more than a call.
    pub async fn identity_for(&self, kind: RequestKind) -> Result<Identity, Problem> {
        let token = bearer(&self.request.headers)?;
        let identity = self.context.accounts.authenticate(token).await?;
        self.count_for(&identity.user, kind)?;
        Ok(identity)
    }

    /// A user in whose name a signed URL speaks, as [`Call::identity`] does for a token.
    pub fn admit(&self, user: UserName) -> Result<UserName, Problem> {
        self.count_for(&user, RequestKind::Call)?;
        Ok(user)
    }

    fn count_for(&self, user: &UserName, kind: RequestKind) -> Result<(), Problem> {
        self.caller().identify(user.clone());
        self.context.chat.admit_request(user, kind)
    }
}
