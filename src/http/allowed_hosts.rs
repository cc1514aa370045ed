//! The hosts that requests may be addressed to.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use http::header::HOST;
use http::uri::Authority;

use lakechat_core::domain::{Code, Problem};

/// Host names that the service answers for, beside IP addresses and `localhost`.
///
/// The owner of a DNS name can point it at this server while a browser shows a page of that name
/// (DNS rebinding). For the browser, page and server then have the same origin, and only the Host
/// header shows that the request came for somebody else. IP addresses and `localhost` can't be
/// pointed elsewhere.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts(HashSet<String>);

impl AllowedHosts {
    /// Names without a port, in any case.
    pub fn new(names: impl IntoIterator<Item = String>) -> AllowedHosts {
        AllowedHosts(names.into_iter().map(|name| canonical(&name)).collect())
    }

    /// Checks the Host header of a normalized request. Only HTTP/1.0 requests may lack it, which no
    /// browser sends.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(host) = headers.get(HOST) else {
            return Ok(());
        };
        let authority = Authority::try_from(host.as_bytes()).ok();
        if authority.is_some_and(|authority| self.allows(authority.host())) {
            return Ok(());
        }
        let text = "The service does not answer for this host. Use an IP address, localhost, or a \
                    host of server.public_url or server.allowed_hosts.";
        Err(Problem::new(Code::HostNotAllowed, text).field("host"))
    }

    fn allows(&self, host: &str) -> bool {
        let host = canonical(host);
        host == "localhost" || is_address(&host) || self.0.contains(&host)
    }
}

/// In lower case, and without the dot at the end of a fully qualified name.
fn canonical(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn is_address(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    match v6 {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_the_given_names_are_allowed() {
        let hosts = AllowedHosts::new(["Chat.Example".to_owned()]);
        let allows = |host: &str| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().expect("a header value"))]);
            hosts.check(&headers).is_ok()
        };
        for good in [
            "127.0.0.1",
            "192.0.2.1:8080",
            "[::1]:8080",
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "chat.example",
            "CHAT.example:443",
            "chat.example.:443",
        ] {
            assert!(allows(good), "{good}");
        }
        for bad in [
            "evil.example",
            "chat.example.evil.example",
            "a.chat.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "2130706433",
            "",
        ] {
            assert!(!allows(bad), "{bad}");
        }
        assert!(hosts.check(&HeaderMap::new()).is_ok(), "HTTP/1.0");
    }
}
