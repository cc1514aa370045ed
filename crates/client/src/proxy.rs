//! The HTTP proxy between this client and the server, as `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
//! `NO_PROXY` name it. HTTP calls and the WebSocket use the same one.

use std::error::Error;
use std::future::poll_fn;
use std::net::IpAddr;

use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;
use tokio::net::TcpStream;
use tower_service::Service;

/// An HTTP proxy.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    uri: Uri,
    authorization: Option<HeaderValue>,
}

/// The environment names a proxy of another kind, such as SOCKS.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {0} is not supported: only http:// is; NO_PROXY exempts hosts from it")]
pub struct ProxyUnsupported(String);

impl Proxy {
    /// The proxy for a server. A server on this machine is reached without one, whatever the
    /// environment says.
    pub fn of(server: &Url) -> Result<Option<Proxy>, ProxyUnsupported> {
        if is_loopback(server) {
            return Ok(None);
        }
        Proxy::matching(&Matcher::from_env(), server)
    }

    fn matching(matcher: &Matcher, server: &Url) -> Result<Option<Proxy>, ProxyUnsupported> {
        let intercepted = server.as_str().parse().ok();
        let Some(found) = intercepted.and_then(|uri| matcher.intercept(&uri)) else {
            return Ok(None);
        };
        let uri = found.uri().clone();
        if uri.scheme_str() != Some("http") {
            return Err(ProxyUnsupported(uri.to_string()));
        }
        Ok(Some(Proxy {
            uri,
            authorization: found.basic_auth().cloned(),
        }))
    }

    /// The same proxy for HTTP calls.
    pub fn for_calls(&self) -> Result<reqwest::Proxy, reqwest::Error> {
        let proxy = reqwest::Proxy::all(self.uri.to_string())?;
        Ok(match &self.authorization {
            Some(value) => proxy.custom_http_auth(value.clone()),
            None => proxy,
        })
    }

    /// Connects to a host through the proxy, by CONNECT.
    pub async fn tunnel(
        &self,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, Box<dyn Error + Send + Sync>> {
        let mut tunnel = Tunnel::new(self.uri.clone(), HttpConnector::new());
        if let Some(value) = &self.authorization {
            tunnel = tunnel.with_auth(value.clone());
        }
        let target = format!("http://{host}:{port}").parse()?;
        poll_fn(|context| tunnel.poll_ready(context)).await?;
        Ok(tunnel.call(target).await?.into_inner())
    }
}

/// Whether a server is on this machine, so that nobody else sees what is sent to it.
pub fn is_loopback(server: &Url) -> bool {
    let host = server.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn loopback_is_told_by_address_and_name() {
        for here in [
            "http://127.0.0.1:8080",
            "http://127.8.9.1",
            "http://[::1]:1",
            "http://[::ffff:127.0.0.1]",
            "https://LOCALHOST/x",
        ] {
            assert!(is_loopback(&url(here)), "{here}");
        }
        for elsewhere in [
            "http://10.0.0.1",
            "http://[::2]",
            "http://localhost.example",
            "http://127.0.0.1.example",
        ] {
            assert!(!is_loopback(&url(elsewhere)), "{elsewhere}");
        }
    }

    #[test]
    fn proxy_is_chosen_by_scheme_and_host_and_keeps_its_password_to_itself() {
        let matcher = Matcher::builder()
            .http("http://ann:secret@proxy:3128")
            .https("socks5://proxy:1080")
            .no("internal.example")
            .build();
        let proxy = |server| Proxy::matching(&matcher, &url(server));
        let found = proxy("http://chat.example").unwrap().expect("a proxy");
        assert_eq!(found.uri.to_string(), "http://proxy:3128/");
        assert!(found.authorization.is_some());
        assert!(proxy("http://a.internal.example").unwrap().is_none());
        let refused = proxy("https://chat.example").unwrap_err().to_string();
        assert!(refused.contains("socks5://proxy:1080"), "{refused}");
    }
}
