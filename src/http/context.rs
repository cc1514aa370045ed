//! What handlers work with, and how they learn who is calling.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use tokio_util::task::TaskTracker;
use warp::{Filter, Rejection};

use super::accounts::bearer;
use super::address_limits::AddressLimits;
use super::body::{Incoming, read_limited};
use super::query::Query;
use super::request::{Caller, ClientAddr, caller, client_addr};
use crate::config::{Origin, PublicUrl};
use lakechat_core::accounts::{Accounts, Identity};
use lakechat_core::chat::service::Chat;
use lakechat_core::domain::Problem;
use lakechat_core::files::Files;

/// The largest JSON body, bytes.
const MAX_JSON_BYTES: usize = 64 * 1024;

/// Everything that handlers call.
pub struct Context {
    pub accounts: Arc<Accounts>,
    pub chat: Arc<Chat>,
    pub files: Arc<Files>,
    /// Of chats: how often and how many from an address.
    pub addresses: AddressLimits,
    pub public_url: Option<PublicUrl>,
    /// Beside the server's own.
    pub allowed_origins: Vec<Origin>,
    /// The WebSockets: they outlive their HTTP connections.
    pub sessions: TaskTracker,
}

/// One request, without its body.
pub struct Call {
    pub context: Arc<Context>,
    pub headers: HeaderMap,
    pub client: ClientAddr,
    query: Option<String>,
    caller: Caller,
}

/// Takes what every handler needs.
pub fn call(context: Arc<Context>) -> impl Filter<Extract = (Call,), Error = Rejection> + Clone {
    let query = warp::query::raw()
        .map(Some)
        .or(warp::any().map(|| None))
        .unify();
    let context = warp::any().map(move || context.clone());
    let parts = context
        .and(warp::header::headers_cloned())
        .and(client_addr())
        .and(query)
        .and(caller());
    parts.map(|context, headers, client, query, caller| Call {
        context,
        headers,
        client,
        query,
        caller,
    })
}

impl Call {
    /// The caller, by the token.
    pub async fn identity(&self) -> Result<Identity, Problem> {
        let token = bearer(&self.headers)?;
        let identity = self.context.accounts.authenticate(token).await?;
        self.caller.identify(identity.user.clone());
        Ok(identity)
    }

    /// The parameters; `finish` it.
    pub fn query(&self) -> Result<Query, Problem> {
        Query::parse(self.query.as_deref())
    }

    /// Refuses every parameter.
    pub fn no_query(&self) -> Result<(), Problem> {
        self.query()?.finish()
    }

    /// The bytes of a JSON body.
    pub async fn json(&self, body: Incoming) -> Result<bytes::Bytes, Problem> {
        read_limited(&self.headers, body, MAX_JSON_BYTES).await
    }

    /// The same, where the body may be left out.
    pub async fn optional_json(&self, body: Incoming) -> Result<Option<bytes::Bytes>, Problem> {
        let empty = self
            .headers
            .get(CONTENT_LENGTH)
            .is_none_or(|length| length == "0")
            && !self.headers.contains_key(TRANSFER_ENCODING);
        if empty {
            Ok(None)
        } else {
            self.json(body).await.map(Some)
        }
    }
}
