//! The address of a client behind proxies.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use ipnet::IpNet;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies whose `X-Forwarded-For` is trusted.
#[derive(Debug, Default)]
pub struct TrustedProxies {
    nets: Vec<IpNet>,
    /// Whether a proxy was reported that looks like it should be trusted and isn't.
    has_reported: AtomicBool,
}

impl TrustedProxies {
    pub fn new(nets: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies {
            nets,
            has_reported: AtomicBool::new(false),
        }
    }

    /// The rightmost hop that is not a trusted proxy. Each trusted proxy vouches for the entry that
    /// it appended; an untrusted hop may have invented everything to the left of its own entry.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            self.report_forgotten(client, headers);
            return client;
        }
        let lines = headers.get_all(X_FORWARDED_FOR).iter();
        let hops: Vec<&[u8]> = lines
            .flat_map(|line| line.as_bytes().split(|b| *b == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|hop| !hop.is_empty())
            .collect();
        for hop in hops.into_iter().rev() {
            let Some(address) = parse_hop(hop) else {
                break;
            };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    /// `address` must be canonical: an IPv4-mapped one matches no IPv4 net.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.nets.iter().any(|net| net.contains(&address))
    }

    /// Warns once about a peer that was probably left out of the configuration by mistake: it
    /// speaks for clients, and its address is none of the Internet's.
    fn report_forgotten(&self, peer: IpAddr, headers: &HeaderMap) {
        if headers.contains_key(X_FORWARDED_FOR)
            && is_private(peer)
            && !self.has_reported.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                client = %peer,
                "{peer} sends X-Forwarded-For but isn't in server.trusted_proxies: all its clients \
                 count as one address, and share its limits of logins and connections"
            );
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// An entry is an address. Some proxies add a port.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?;
    let plain = hop.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let address = plain
        .unwrap_or(hop)
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|a| a.ip()));
    address.ok().map(|a| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, lines: &[&[u8]]) -> String {
        let nets = ["127.0.0.1/32", "10.0.0.0/8"];
        let nets = nets.map(|n| n.parse().expect("a net"));
        let proxies = TrustedProxies::new(nets.to_vec());
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line).expect("a header value");
            headers.append(X_FORWARDED_FOR, line);
        }
        let peer = peer.parse().expect("an address");
        proxies.client(peer, &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_speak_for_others() {
        assert_eq!(client("9.9.9.9", &[b"1.1.1.1"]), "9.9.9.9");
        assert_eq!(client("127.0.0.1", &[b"1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("::ffff:127.0.0.1", &[b"1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client() {
        let forged: [&[u8]; 2] = [b"6.6.6.6, 2.2.2.2:4711", b"10.0.0.7"];
        assert_eq!(client("127.0.0.1", &forged), "2.2.2.2");
        assert_eq!(client("127.0.0.1", &[b"10.0.0.1, 10.0.0.2"]), "10.0.0.1");
        assert_eq!(
            client("127.0.0.1", &[b"2001:db8::1, [2001:db8::2]:80"]),
            "2001:db8::2"
        );
    }

    #[test]
    fn nonsense_ends_the_chain() {
        assert_eq!(client("127.0.0.1", &[b"1.1.1.1, unknown"]), "127.0.0.1");
        assert_eq!(
            client("127.0.0.1", &[b"1.1.1.1, unknown, 10.0.0.3"]),
            "10.0.0.3"
        );
    }

    /// nginx appends to whatever the client sent.
    #[test]
    fn what_a_client_sends_does_not_hide_it() {
        assert_eq!(client("127.0.0.1", &[b"\xff, 2.2.2.2"]), "2.2.2.2");
        assert_eq!(client("127.0.0.1", &[b"\xff", b"2.2.2.2"]), "2.2.2.2");
        assert_eq!(client("127.0.0.1", &[b"2.2.2.2, \xff"]), "127.0.0.1");
    }

    #[test]
    fn empty_items_are_skipped() {
        assert_eq!(client("127.0.0.1", &[b"2.2.2.2,"]), "2.2.2.2");
        assert_eq!(
            client("127.0.0.1", &[b"2.2.2.2, , 10.0.0.1 ,", b""]),
            "2.2.2.2"
        );
    }

    #[test]
    fn private_addresses_are_none_of_the_internets() {
        let private = |text: &str| is_private(text.parse().expect("an address"));
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(private(inside), "{inside}");
        }
        for outside in ["9.9.9.9", "172.32.0.1", "2001:db8::1"] {
            assert!(!private(outside), "{outside}");
        }
    }
}
