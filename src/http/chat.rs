//! `GET /chat`: from HTTP to a WebSocket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::Instrument;
use tracing::field::Empty;
use warp::reply::Response;

use super::bearer::bearer;
use super::call::Call;
use super::connection::reclaim;
use super::context::ServiceContext;
use super::response::empty;
use crate::config::Origin;
use lakechat_core::chat::session::{self, Arrival, TokenSource};
use lakechat_core::domain::{Code, Problem};
use lakechat_core::keyed_memory::ReservedMemory;

const PROTOCOL: &str = "lakechat.v1";

/// Responds to the upgrade. The session runs as a task of its own.
pub async fn open(mut call: Call) -> Result<Response, Problem> {
    let mut query = call.query()?;
    // Only a hint for sticky routing by a load balancer.
    query.take("channel");
    query.finish()?;
    let key = key(&call.request.headers)?;
    let on_upgrade = call.take_upgrade().ok_or_else(not_an_upgrade)?;
    check_origin(&call.context, &call.request.headers)?;
    let guard = call.context.addresses.admit(call.request.client.0)?;
    let address = call.request.client.0;
    let token = match token(&call.request.headers) {
        Some(token) => TokenSource::Upgrade(token),
        None => TokenSource::Hello(admit_hello(&call)?),
    };
    let arrival = Arrival { token, address };
    let selected = protocols(&call.request.headers).any(|p| p == PROTOCOL);
    // At debug level: a span that is enabled is entered at each wake of the session.
    let (id, client) = (call.request.id, call.request.client.0);
    let span =
        tracing::debug_span!("session", request.id = %id, %client, session = Empty, user = Empty);
    let context = call.context.clone();
    let session = async move {
        // The upgrade fails only if the client is gone.
        let Some(raw) = on_upgrade.await.ok().and_then(reclaim) else {
            return;
        };
        let (chat, accounts) = (call.context.chat.clone(), call.context.accounts.clone());
        drop(call);
        session::run_on_tcp(chat, accounts, raw.stream, raw.read, arrival).await;
        drop((raw.permit, guard));
    };
    context.sessions.spawn(session.instrument(span));
    Ok(switching(&key, selected))
}

fn admit_hello(call: &Call) -> Result<ReservedMemory, Problem> {
    let admitted = call.context.chat.admit_hello(call.request.client.0);
    admitted.inspect_err(|_| {
        metrics::counter!("lakechat_connects_refused_total", "limit" => "hello").increment(1);
    })
}

fn switching(key: &str, selected: bool) -> Response {
    let mut response = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = derive_accept_key(key.as_bytes());
    let accept = HeaderValue::from_str(&accept).expect("base64 is header text");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if selected {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    response
}

/// The key of a valid handshake.
fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let lists = |name, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        values
            .flat_map(|v| v.split(','))
            .any(|v| v.trim().eq_ignore_ascii_case(wanted))
    };
    let version = headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_some_and(|v| v == "13");
    if !lists(UPGRADE, "websocket") || !lists(CONNECTION, "upgrade") || !version {
        return Err(not_an_upgrade());
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(key.to_owned()),
        _ => Err(Problem::new(
            Code::BadRequest,
            "Sec-WebSocket-Key must be 16 bytes in base64.",
        )),
    }
}

fn not_an_upgrade() -> Problem {
    let text = "/chat is a WebSocket: send an upgrade with Sec-WebSocket-Version 13 and no body.";
    Problem::new(Code::UpgradeRequired, text)
}

/// Web pages may open a chat if their origin is the server's own or an allowed one.
fn check_origin(context: &ServiceContext, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(given) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = given.to_str().ok().and_then(Origin::parse);
    let allowed = origin.is_some_and(|origin| {
        context.allowed_origins.contains(&origin) || is_own(context, headers, &origin)
    });
    if allowed {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "Web pages of this origin may not open a WebSocket to this server.",
    ))
}

fn is_own(context: &ServiceContext, headers: &HeaderMap, origin: &Origin) -> bool {
    if let Some(url) = &context.public_url {
        return url.origin() == origin;
    }
    // The server can't know whether a proxy terminates TLS, so either scheme will do.
    let host = headers
        .get(HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let own = |scheme| Origin::parse(&format!("{scheme}://{host}"));
    own("http").as_ref() == Some(origin) || own("https").as_ref() == Some(origin)
}

/// The token in the upgrade request. A malformed header counts as a wrong token.
fn token(headers: &HeaderMap) -> Option<String> {
    if headers.contains_key(AUTHORIZATION) {
        return Some(bearer(headers).unwrap_or_default().to_owned());
    }
    protocols(headers)
        .find_map(|p| p.strip_prefix("bearer."))
        .map(str::to_owned)
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).map(str::trim)
}
